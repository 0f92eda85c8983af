"""Searching for a schedule under which a program fails, making it short, and saying how to see it again.

Layer: testing. Hundreds of executions share one run of Trio; what is found must fail again in a run of its own.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, final, overload

import attrs
from typing_extensions import TypeIs, override

from ..flow import Flow
from ..types import AttrsState, RunResult
from ._choice_core import Deviations, Fixed
from ._code_core import Replay, parse, spell
from ._errors import StepBudgetError, StuckError
from ._fault_plan import Used
from ._faults import Body, Faults
from ._overrides import OVERRIDES
from ._private import Control
from ._program import Program, body_of
from ._search_core import Policy, Search, Trial
from ._shrink_core import shrink
from ._world import Ended, World

__all__ = ["Exploration", "ScheduleFailure", "explore"]

T = TypeVar("T")
State = TypeVar("State", bound=AttrsState)

MAX_STEPS: Final = 20_000
"""What an execution may use unless told otherwise."""

_EFFORT: Final = 60_000
"""Steps that shrinking may take in all, so that it ends well within a second."""

_FEW: Final = 3_000
"""Steps for which a program that does not end is tried while its schedule is made short."""

_BEYOND: Final = (
    "tasks went on one step at a time, with timers up to a microsecond late: Trio allows it, "
    "but its scheduler of today may never do it"
)

_UNCONFIRMED: Final = (
    "it did not fail again in a run of its own: something else decides, see check_deterministic"
)


@final
@attrs.frozen
class ScheduleFailure:
    """A schedule under which the program fails.

    Attributes:
        error: what it raises.
        code: repeats it: ``explore(program, replay=code)``.
        command: the same as something to type.
        seed: of the program's dice.
        policy: what found it; never ``portfolio``.
        tries: how many schedules were tried, this one included.
        deviations: how many choices differ from the usual order, after shrinking.
        found_with: how many did before.
        confirmed: whether it failed again in a run of its own; if not, something besides seed and schedule decides.
    """

    error: Exception
    code: str
    command: str
    seed: int
    policy: Policy
    tries: int
    deviations: int
    found_with: int
    confirmed: bool

    @override
    def __str__(self) -> str:
        shrunk = f", shrunk from {self.found_with}" if self.found_with > self.deviations else ""
        noun = "deviation" if self.deviations == 1 else "deviations"
        head = f"schedule {self.tries} fails ({self.policy}, seed {self.seed}; "
        lines = [
            f"{head}{self.deviations} {noun} from the usual order{shrunk})",
            f"replay: {self.command}",
        ]
        if self.policy != "batch" and self.deviations:
            lines.append(f"note: {_BEYOND}")
        if not self.confirmed:
            lines.append(f"note: {_UNCONFIRMED}")
        return "\n".join(lines)


@final
@attrs.frozen
class Exploration:
    """What a search came to.

    Attributes:
        policy: how it searched.
        seeds: how many schedules were tried.
        steps: how many steps they took together.
        failures: the first schedule that fails, made short; empty if none was found.
    """

    policy: Policy
    seeds: int
    steps: int
    failures: Sequence[ScheduleFailure]

    def raise_on_failure(self) -> None:
        """Raise what the program raised, with a note that says how to repeat it.

        Raises:
            Exception: the failure, if there is one.
        """
        __tracebackhide__ = True
        for failure in self.failures:
            raise failure.error

    @override
    def __str__(self) -> str:
        if not self.failures:
            return f"{self.seeds} schedules ({self.policy}), {self.steps} steps: no failure"
        return "\n".join(f"{failure}\n{_told(failure.error)}" for failure in self.failures)


@overload
def explore(
    flow: Flow[State, ...],
    state: State,
    /,
    *,
    seeds: int = 100,
    first_seed: int = 0,
    policy: Policy = "portfolio",
    check: Callable[[RunResult[State]], object] | None = None,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 20_000,
    control: Control = "order",
    replay: str | None = None,
) -> Exploration: ...
@overload
def explore(
    program: Program[T],
    /,
    *,
    seeds: int = 100,
    first_seed: int = 0,
    policy: Policy = "portfolio",
    check: Callable[[T], object] | None = None,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 20_000,
    control: Control = "order",
    replay: str | None = None,
) -> Exploration: ...
def explore(  # noqa: PLR0913 - settings, all with a default
    program: Any,
    state: Any = None,
    /,
    *,
    seeds: int = 100,
    first_seed: int = 0,
    policy: Policy = "portfolio",
    check: Callable[[Any], object] | None = None,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 20_000,
    control: Control = "order",
    replay: str | None = None,
) -> Exploration:
    """Run a program under many schedules, in virtual time, until one fails; then make that one short.

    Synchronous: it starts Trio itself. A program fails if it raises, if *check* raises, or if it is stuck. Promised: it
    fails no program that works under every order in which each runnable task goes on sooner or later, and with timers
    that are up to a microsecond late.

    Args:
        program: an async function, which may take dice (``random.Random``), or a flow with its state. Called anew for
            each schedule; what it uses must be made in it, or be a guard, which begins anew by itself.
        state: for a flow; every execution gets a fork.
        seeds: how many schedules to try.
        first_seed: the first of their seeds.
        policy: how to search; ``portfolio`` finds most.
        check: looks at what the program returned, and raises if that is wrong.
        faults: what fails besides.
        services: names of tasks that tick for ever; their timers hide no deadlock.
        max_steps: steps after which an execution counts as stuck.
        control: how much of Trio's order to choose, for a Trio that does not obey.
        replay: a code; that schedule is run and no other, and is not made shorter.

    Returns:
        What was found; `Exploration.raise_on_failure` makes it a test.

    Raises:
        ControlError: this Trio does not obey; the error names what works.
        NestedSimulationError: called inside a run of Trio.
        ReplayCodeError: *replay* is no code.
        UnusedFaultError: *faults* names what no execution came to.
        TypeError, ValueError: an argument makes no sense.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    if control == "shuffle":
        policy = "batch"
    body = body_of(program, state)
    used = Used(faults)
    hunt = _Hunt(
        functools.partial(
            OVERRIDES.command,
            program,
            check=check,
            faults=faults,
            services=services,
            max_steps=None if max_steps == MAX_STEPS else max_steps,
            control=control,
        ),
        _judged(body, check, used),
        functools.partial(World, control=control, services=services),
        max_steps,
    )
    code = OVERRIDES.replay or replay
    if code is not None:
        return hunt.replayed(parse(code), code)
    found = hunt.search(policy, OVERRIDES.seeds or seeds, first_seed)
    if not found.failures:
        used.check()
    return found


def _judged(body: Body[T], check: Callable[[T], object] | None, used: Used) -> Body[T]:
    """The program with its faults, and *check* as a part of it."""
    faulty = used.around(body)

    async def judged(seed: int) -> T:
        __tracebackhide__ = True
        result = await faulty(seed)
        if check is not None:
            check(result)
        return result

    return judged


@final
class _Hunt:
    """One search."""

    def __init__(
        self,
        command: Callable[[str], str],
        body: Body[Any],
        world: Callable[..., World],
        max_steps: int,
    ) -> None:
        self._command = command
        self._max_steps = max_steps
        self._body = body
        self._world = world
        self._tries = self._steps = 0

    def search(self, policy: Policy, seeds: int, first: int) -> Exploration:
        """Try *seeds* schedules, or fewer if one fails."""
        search = Search(policy, first)
        failures: list[ScheduleFailure] = []
        while self._tries < seeds and not failures:
            found = self._many(search, seeds)
            if found is not None:
                failures.append(self._explain(*found))
        return Exploration(policy, self._tries, self._steps, tuple(failures))

    def replayed(self, replay: Replay, code: str) -> Exploration:
        """Run the one schedule."""
        trial = replay.trial
        ended = self._alone(trial, cancel=replay.cancel)
        self._tries, self._steps = 1, ended.steps
        failures: list[ScheduleFailure] = []
        if ended.error is not None:
            count = len(ended.deviations)
            failures.append(
                self._failure(ended.error, code, trial, count, count, confirmed=True)
            )
        return Exploration(trial.policy, 1, ended.steps, tuple(failures))

    def _many(self, search: Search, seeds: int) -> tuple[Trial, Ended[Any], Exception] | None:
        """Try on until one fails, or leaves something behind, after which Trio is started anew."""
        world = self._world(max_steps=self._max_steps)
        trial = search.next()

        async def main() -> Ended[Any]:
            nonlocal trial
            world.attach()
            while True:
                self._tries += 1
                ended = await world.perform(self._body, trial)
                self._steps += ended.steps
                search.learn(ended.widths)
                if ended.error is not None or not ended.clean or self._tries == seeds:
                    return ended
                trial = search.next()

        try:
            ended = world.run(main)
        except StuckError as stuck:
            ended = world.given_up(stuck)
        return None if ended.error is None else (trial, ended, ended.error)

    def _explain(self, trial: Trial, ended: Ended[Any], error: Exception) -> ScheduleFailure:
        """Make the schedule short, and see it fail once more; the long one, if the short one does not."""
        short = self._shrunk(trial, ended, error)
        for deviations in (short, ended.deviations):
            last = self._alone(attrs.evolve(trial, chooser=Fixed(deviations))).error
            if last is not None and same_failure(last, error):
                break
        else:
            last, deviations = None, ended.deviations
        return self._failure(
            last or error,
            spell(trial, deviations),
            trial,
            len(deviations),
            len(ended.deviations),
            confirmed=last is not None,
        )

    def _failure(
        self,
        error: Exception,
        code: str,
        trial: Trial,
        count: int,
        before: int,
        *,
        confirmed: bool,
    ) -> ScheduleFailure:
        failure = ScheduleFailure(
            error=error,
            code=code,
            command=self._command(code),
            seed=trial.seed,
            policy=trial.policy,
            tries=self._tries or 1,
            deviations=count,
            found_with=before,
            confirmed=confirmed,
        )
        error.add_note(str(failure))
        return failure

    def _alone(
        self, trial: Trial, *, cancel: int | None = None, max_steps: int | None = None
    ) -> Ended[Any]:
        """Execute *trial* in a run of Trio of its own."""
        world = self._world(max_steps=max_steps or self._max_steps)
        return world.execute(self._body, trial, cancel=cancel)

    def _shrunk(self, trial: Trial, ended: Ended[Any], error: Exception) -> Deviations:
        """Fewer deviations with which the same happens."""
        # one that does not end is tried for less long, or a few tries would use up the effort
        few = min(self._max_steps, _FEW) if isinstance(error, StepBudgetError) else None

        def attempt(deviations: Deviations) -> tuple[Deviations | None, int]:
            again = self._alone(attrs.evolve(trial, chooser=Fixed(deviations)), max_steps=few)
            failed = again.error is not None and same_failure(again.error, error)
            return (again.deviations if failed else None), again.steps

        return shrink(ended.deviations, attempt, _EFFORT)


def _told(error: Exception) -> str:
    """What failed: of a group, its leaves."""
    leaves = [part for part in _leaves_of(error) if part is not error]
    told = "; ".join(
        f"{type(leaf).__name__}: {leaf}".removesuffix(": ") for leaf in leaves or [error]
    )
    return f"{told} (in {type(error).__name__})" if leaves else told


def _leaves_of(error: Exception) -> Sequence[Exception]:
    """The errors in a group, however deep; a single error itself."""
    return [leaf for part in _parts(error) for leaf in _leaves_of(part)] or [error]


def same_failure(one: Exception, other: Exception) -> bool:
    """Whether both failed in the same way: errors of the same kinds, in the same groups."""
    if type(one) is not type(other):
        return False
    return all(itertools.starmap(same_failure, zip(_parts(one), _parts(other), strict=False)))


def _parts(error: Exception) -> Sequence[Exception]:
    return error.exceptions if _is_group(error) else ()


def _is_group(error: Exception) -> TypeIs[ExceptionGroup[Exception]]:
    """Whether several errors are raised as one."""
    return isinstance(error, ExceptionGroup)
