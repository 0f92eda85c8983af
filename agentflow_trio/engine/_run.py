"""One run, from its fork of the state to its result: what `Flow.run`, `Step.run` and the engine share.

Layer: engine. Rules: the object passed in never changes; what a run needs is checked before
anything runs; ``run()`` is always a checkpoint; the last event comes after everything was unwound.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import trio

from ..errors import ResourceError
from ..robustness import has_own_limits, own_limits
from ..state import HIDING, fork
from ..types import END, Exit, RunResult
from ._failures import brief, flow_failed, tell_suppressed, without_cancelled
from ._limits import Limit, bounded
from ._live import CURRENT, DEFAULT, MARK, LiveRun, Settings, Strand
from ._plan import Plan, StateValue
from ._sequence import run_plan
from ._trail import Trail

if TYPE_CHECKING:
    from ._bus import Bus

__all__ = ["RUN", "Whole", "check_resources", "check_timeout", "execute"]

State = TypeVar("State")


# a named tuple would take 0.15 ms to make it
@final
class Whole:
    """How a run is to be, and how the loop begins and ends it.

    Attributes:
        run_id, seed: if they are given.
        live: what was made of it, on a fork of its own, before it began.
    """

    __slots__ = ("live", "run_id", "seed")

    def __init__(
        self, run_id: str | None = None, seed: int | None = None, live: LiveRun | None = None
    ) -> None:
        self.run_id = run_id
        self.seed = seed
        self.live = live

    async def begin(self, plan: Plan[Any], state: StateValue) -> tuple[Strand, StateValue]:
        """Make its strand, and the fork of *state* that is run, unless that was made before. A checkpoint."""
        run = self.live
        if run is None:
            state = fork(state)
            if plan.needs:
                check_resources(plan, DEFAULT)
            run = LiveRun(plan, DEFAULT, self.run_id, self.seed)
        strand = Strand(run)
        CURRENT.set(strand)
        if HIDING and type(state) in HIDING:
            run.hide(state)
            strand.quiet = False  # every visit is to look at the values, which change
        run.began = run.clock()
        if run.bus is not None:
            if run.bus.scopes is not None:
                run.bus.scopes.enter_run(strand)
            run.bus.run_started(run.path, **_identity(run, state))
        strand.task.custom_sleep_data = MARK
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException as error:
            self.fail(strand, error)
            raise
        return strand, state

    def end(self, strand: Strand, state: StateValue, exit_: Exit) -> RunResult[Any]:
        """What it returns."""
        run, steps = strand.run, strand.steps_of_all()
        taken = None if exit_ is END else exit_.name
        _end(strand, taken, None)
        return RunResult(state, taken, run.clock() - run.began, steps, Story(run, strand.trail))

    def fail(self, strand: Strand, error: BaseException) -> None:
        """It raises *error*."""
        _end(strand, None, error)


_AS_USUAL: Final = Whole()


def execute(
    plan: Plan[Any],
    state: State,
    *,
    timeout: float | None = None,
    run_id: str | None = None,
    seed: int | None = None,
    live: LiveRun | None = None,
) -> Coroutine[object, object, RunResult[State]]:
    """Run *plan* in the caller's task on a fork of *state*, or as *live* on a fork made before."""
    usual = run_id is None and seed is None and live is None
    asked = _AS_USUAL if usual else Whole(run_id, seed, live)
    run: Coroutine[object, object, RunResult[State]]
    if timeout is None:
        run = run_plan(asked, plan, state)
    else:
        run = _in_time(asked, plan, state, timeout)
    return _unlimited(run) if has_own_limits() else run


async def _unlimited(
    run: Coroutine[object, object, RunResult[State]],
) -> RunResult[State]:
    """Do *run* as if nothing around had limits of its own: those of a step or pipeline are no limits of the steps in it."""
    with own_limits():
        return await run


async def _in_time(
    asked: Whole, plan: Plan[Any], state: State, timeout: float
) -> RunResult[State]:
    """A run with a timeout."""
    check_timeout(timeout)
    strand, state = await asked.begin(plan, state)
    try:
        end = await _bounded(strand, state, timeout)
        if strand.never_waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
    except BaseException as error:
        asked.fail(strand, error)
        raise
    return asked.end(strand, *end)


RUN: Final = _in_time.__code__
"""The outermost code of a run with a timeout: whoever looks at a task knows one by it, and reads ``strand``."""


def _end(strand: Strand, taken: str | None, error: BaseException | None) -> None:
    """Everything is unwound: the task is what it was before."""
    if strand.run.settings.settle is not None:
        strand.run.settings.settle()
    # not by a token, which would be 64 bytes for each flow that waits
    CURRENT.set(strand.run.outer)
    strand.steps = -1
    strand.forget()
    if strand.run.suppressed and error is not None:
        tell_suppressed(error, strand.run.suppressed)
    if strand.run.bus is not None:
        _tell_end(strand, strand.run.bus, taken, error)


def check_timeout(timeout: object) -> None:
    """Refuse what is no number of seconds; checkers do, but not everybody has one."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout must be a number of seconds > 0, not {timeout!r}")


def check_resources(plan: Plan[Any], settings: Settings) -> None:
    """Refuse a run whose steps declare what the engine has not got."""
    for step, resource in plan.needs:
        if resource not in settings.resources:
            hint = f"run it with Engine(resources={{{resource.name.upper()}: ...}})"
            raise ResourceError(resource=resource.name, step=step, reason=f"missing; {hint}")


@final
class Story:
    """What a result tells about the way: kept small, for thousands of results may be kept."""

    __slots__ = ("_run", "_trail")

    def __init__(self, run: LiveRun, trail: Trail) -> None:
        self._run = run
        self._trail = trail

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def visits(self) -> Mapping[str, int]:
        return self._trail.visits

    @property
    def tail(self) -> tuple[str, ...]:
        return self._trail.tail

    @property
    def suppressed(self) -> tuple[Exception, ...]:
        return self._run.suppressed


async def _bounded(
    strand: Strand, state: StateValue, timeout: float
) -> tuple[StateValue, Exit]:
    plan = strand.run.plan

    async def work() -> tuple[StateValue, Exit]:
        return await run_plan(strand, plan, state)

    def conclude(errors: Sequence[BaseException]) -> BaseException:
        return flow_failed(strand, plan.name, strand.run.path, strand.trouble.last, errors)

    limit = Limit("timeout of the run", timeout)
    return await bounded(strand, limit, work, conclude)


def _identity(run: LiveRun, state: object) -> dict[str, Any]:
    return {
        "definition_hash": run.plan.definition_hash(type(state)),
        "seed": run.seed,
        "schema_version": getattr(type(state), "__schema_version__", 1),
        "wall_time": run.settings.wall_clock.now(),
    }


def _tell_end(strand: Strand, bus: Bus, taken: str | None, error: BaseException | None) -> None:
    """Say that it is over, and let subscribers and readers come to their end."""
    run = strand.run
    failed = None if error is None else without_cancelled(error)
    outcome = "success" if error is None else "error" if failed else "cancelled"
    text = None if failed is None else "{error}: {message}".format_map(brief(failed))
    bus.run_ended(run.path, run.began, outcome, taken, strand.trail.made, text)
    if bus.scopes is not None:
        bus.scopes.leave_all(strand, error)
    bus.close()
    if run.reach is not None and run.reach.streams is not None:
        run.reach.streams.close()
