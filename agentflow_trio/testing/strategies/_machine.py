"""A state machine of Hypothesis whose rules step a live simulation.

Layer: testing. Hypothesis finds rules on the class, so this is one to inherit from; everywhere else the package is called.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import ClassVar, Final, TypeVar, TypeVarTuple, Unpack

import trio
from typing_extensions import override

from .._faults import Faults
from .._program import title_of
from .._search_core import trial
from .._simulate import Simulation, simulate
from .._spawned import Spawned
from ._hypothesis import (
    RuleBasedStateMachine,
    SearchStrategy,
    initialize,
    precondition,
    rule,
    st,
)
from ._numbers import durations

__all__ = ["SimulationMachine"]

_MARK: Final = "hypothesis_stateful_"
"""Rules and invariants have an attribute that begins so."""

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def _times(machine: SimulationMachine) -> SearchStrategy[float]:
    return machine.times


def _callers(machine: SimulationMachine) -> SearchStrategy[str]:
    return st.sampled_from([caller.name for caller in machine.callers])


def _may_cancel(machine: SimulationMachine) -> bool:
    return machine.cancels and bool(machine.callers)


def _is_async_rule(member: object) -> bool:
    """Whether Hypothesis would call it, and nobody await what it returns."""
    marks = [name for name in getattr(member, "__dict__", ()) if name.startswith(_MARK)]
    return bool(marks) and inspect.iscoroutinefunction(getattr(member, "__wrapped__", None))


class SimulationMachine(RuleBasedStateMachine):
    """A state machine whose rules spawn callers in a simulation and let time pass; after each, your invariants are asked.

    ``class Breakers(SimulationMachine): ...``, with rules that call `spawn`, and ``TestBreakers = Breakers.TestCase``. It
    has rules of its own: `time_passes`, `next_is_due`, `all_settle` and `caller_is_cancelled`. A caller that raises fails
    the machine in the rule in which it does; let it catch what it may meet. At the end everything is let go on; who never
    comes to an end is a deadlock, and what is still held then a leak. However it ends, the simulation is closed.

    Attributes:
        times: seconds that may pass at once; sixteenths up to ten seconds by default.
        cancels: whether callers may be cancelled; they may by default.
        services: names of tasks that tick for ever; their timers hide no deadlock.
        max_steps: steps after which an example counts as stuck; 100,000 by default.
    """

    times: ClassVar[SearchStrategy[float]] = durations()
    cancels: ClassVar[bool] = True
    services: ClassVar[Sequence[str]] = ()
    max_steps: ClassVar[int] = 100_000

    @override
    def __init_subclass__(cls) -> None:
        """Refuse rules that are async.

        Raises:
            TypeError: one is; the error names it.
        """
        super().__init_subclass__()
        for name, member in vars(cls).items():
            if _is_async_rule(member):
                raise TypeError(
                    f"{cls.__name__}.{name} is async; rules and invariants are plain code, between which time passes: "
                    "let a rule spawn what waits, self.spawn(self.caller)"
                )

    def __init__(self) -> None:
        """Hypothesis does this, for every example."""
        super().__init__()
        self._stack = ExitStack()
        self._sim: Simulation[None, None] | None = None
        self._seed: int | None = None
        self._open = trio.Event()
        self._numbers: dict[str, int] = {}

    # ---------------------------------------------------------------- for rules

    @property
    def sim(self) -> Simulation[None, None]:
        """The simulation, which begins when it is first asked for. Its program does nothing; all is spawned."""
        return self.start() if self._sim is None else self._sim

    @property
    def callers(self) -> Sequence[Spawned[object]]:
        """Who was spawned and has not ended, in order."""
        sim = self._sim
        return [] if sim is None else [each for each in sim.spawned if not each.ended]

    def start(
        self, *, seed: int | None = None, faults: Faults | None = None
    ) -> Simulation[None, None]:
        """Begin the simulation, if with faults: ``@initialize(faults=fault_plans("model"))``.

        Args:
            seed: of the order of tasks and of what is left to chance; drawn by Hypothesis by default.
            faults: what goes wrong. That nothing asks for a name is no error.

        Raises:
            RuntimeError: it has begun.
        """
        if self._sim is not None:
            raise RuntimeError(
                "the simulation has begun: call start() before anything asks for sim"
            )
        self._seed = seed if self._seed is None else self._seed
        program = simulate(
            self._open.wait,
            seed=(self._seed or 0) if seed is None else seed,
            faults=None if faults is None else faults.if_reached(),
            services=self.services,
            max_steps=self.max_steps,
        )
        self._sim = self._stack.enter_context(program)
        self._sim.settle()  # before the first step guards have no run to tell of
        return self._sim

    def spawn(
        self,
        function: Callable[[Unpack[Arguments]], Awaitable[T]],
        /,
        *arguments: *Arguments,
        name: str | None = None,
    ) -> Spawned[T]:
        """Start a caller, which does nothing before time goes on: ``self.spawn(flow.run, state)``; see `Simulation.spawn`.

        Args:
            function: an async function.
            arguments: what it is called with.
            name: what reports call it; the second of a name is ``name#2``. The function's by default.
        """
        known = name or title_of(function).rpartition(".")[2]
        number = self._numbers[known] = self._numbers.get(known, 0) + 1
        unique = known if number == 1 else f"{known}#{number}"
        return self.sim.spawn(function, *arguments, name=unique)

    def finish(self) -> None:
        """At the end of an example: let everybody come to an end. Override it to let in or cancel who waits for a rule."""
        self.sim.run()

    # ---------------------------------------------------------------- rules of its own

    @initialize(seed=st.integers(0, 0xFFFF))
    def order_is_drawn(self, seed: int) -> None:
        """The order of tasks is that of *seed* from here on, unless `start` was given another."""
        if self._seed is None:
            self._seed = seed
            if self._sim is not None:
                self._sim.reorder(trial("batch", seed, slack=False))

    @rule(seconds=st.runner().flatmap(_times))
    def time_passes(self, seconds: float) -> None:
        """Everything happens that is due before so many seconds have passed, and nothing that is due then."""
        self.sim.run_until(self.sim.time + seconds)

    @rule()
    def next_is_due(self) -> None:
        """Time goes on to when the next timer is due, and what is due then happens."""
        if self.sim.advance():
            self.sim.settle()

    @rule()
    def all_settle(self) -> None:
        """Everything happens that can without time passing."""
        self.sim.settle()

    @precondition(_may_cancel)
    @rule(name=st.runner().flatmap(_callers))
    def caller_is_cancelled(self, name: str) -> None:
        """One of the callers is cancelled, and learns of it when time goes on."""
        for caller in self.callers:
            if caller.name == name:
                caller.cancel()

    # ---------------------------------------------------------------- the end

    @override
    def teardown(self) -> None:
        """Hypothesis calls this at the end of every example."""
        if not hasattr(self, "_stack"):
            raise TypeError(
                f"{type(self).__name__}.__init__ must begin with super().__init__()"
            )
        if self._sim is None:
            return
        failed = sys.exception()
        if failed is not None:  # by a rule: that is what must be told
            self._stack.__exit__(type(failed), failed, failed.__traceback__)
            return
        with self._stack:
            self._open.set()
            self.finish()
            self._sim.assert_no_leaks()
