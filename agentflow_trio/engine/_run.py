"""One run, from its fork of the state to its result: what `Flow.run`, `Step.run` and the engine share.

Layer: engine. Rules: the object passed in never changes; what a run needs is checked before
anything runs; ``run()`` is always a checkpoint; the last event comes after everything was unwound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, final

import trio

from ..errors import ResourceError
from ..state import fork
from ..types import END, Exit, RunResult
from ._failures import brief, flow_failed, what_failed
from ._limits import Limit, bounded
from ._live import CURRENT, DEFAULT, MARK, LiveRun, Settings, Strand
from ._plan import Plan, StateValue
from ._sequence import run_plan
from ._trail import Trail

__all__ = ["check_resources", "check_timeout", "execute"]

State = TypeVar("State")


async def execute(
    plan: Plan[Any],
    state: State,
    *,
    timeout: float | None = None,
    run_id: str | None = None,
    seed: int | None = None,
    live: LiveRun | None = None,
) -> RunResult[State]:
    """Run *plan* in the caller's task on a fork of *state*, or as *live* on a fork made before."""
    run = live
    if run is None:
        check_timeout(timeout)
        state = fork(state)
        if plan.needs:
            check_resources(plan, DEFAULT)
        run = LiveRun(plan, DEFAULT, run_id, seed)
    strand = Strand(run)
    CURRENT.set(strand)
    begin = run.began = run.clock()
    if run.bus is not None:
        run.bus.run_started(run.path, **_identity(run, state))
    strand.task.custom_sleep_data = MARK
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        if timeout is None:
            state, exit_ = await run_plan(strand, plan, state)
        else:
            state, exit_ = await _in_time(strand, state, timeout)
    except BaseException as error:
        _ended(strand, begin, None, error)
        raise
    finally:
        CURRENT.set(
            strand.run.outer
        )  # not a token, which would be 64 bytes for each flow that waits
        steps, never_waited = strand.steps_of_all(), strand.never_waited
        strand.steps = -1
        strand.forget()
    taken = None if exit_ is END else exit_.name
    if run.bus is not None:
        _ended(strand, begin, taken, None)
    if never_waited:
        await trio.lowlevel.cancel_shielded_checkpoint()
    return RunResult(state, taken, run.clock() - begin, steps, Story(run, strand.trail))


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


async def _in_time(
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


def _ended(
    strand: Strand, begin: float, taken: str | None, error: BaseException | None
) -> None:
    """Everything is unwound: say so, and let subscribers and readers come to their end."""
    run = strand.run
    if run.bus is None:
        return
    outcome = "success" if error is None else "error" if what_failed(error) else "cancelled"
    text = None if error is None else "{error}: {message}".format_map(brief(error))
    steps = sum(strand.trail.visits.values())
    run.bus.run_ended(run.path, begin, outcome, taken, steps, text)
    run.bus.close()
    if run.streams is not None:
        run.streams.close()
