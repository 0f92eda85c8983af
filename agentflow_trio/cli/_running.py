"""One run for the command line: an engine, its observers, a view of the progress, and what signals do.

Layer: cli. Rule: whatever happens to the run comes back as an `Outcome`; only bugs of ours are raised.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar, final

import attrs
import trio

from ..engine import Engine, Run, RunSnapshot
from ..errors import (
    AgentFlowError,
    DeadlineExceededError,
    FlowAbortedError,
    FlowFailedError,
    ResourceError,
    RunCancelledError,
)
from ..flow import Flow
from ..ports import Observer
from ..types import AttrsState, RunResult
from ._exit import ExitCode, UsageError
from ._observing import Observing
from ._resources import HINT, Resources
from ._showing import REDACTOR
from ._signals import Interrupts

__all__ = ["Outcome", "View", "carry_out"]

State = TypeVar("State", bound=AttrsState)
A_DAY: Final = 86_400.0
"""No observer is too slow here: a stopped terminal or a busy disk must not cost events."""


class View(Protocol):
    """Where the progress of a run is shown."""

    @property
    def observer(self) -> Observer:
        """What is told the run's events."""
        ...

    def __enter__(self) -> object:
        """Begin, in the loop."""
        ...

    def __exit__(self, *_: object) -> None:
        """Show how it ended."""
        ...

    def say(self, text: str) -> None:
        """Show a line of ours."""
        ...

    def fail(self, text: str) -> None:
        """Show what the run failed with, after it has ended."""
        ...

    def restore(self) -> None:
        """Leave the terminal usable; called in a signal handler just before the process is ended."""
        ...

    async def keep_drawing(self, look: Callable[[], RunSnapshot], /) -> None:
        """Show time passing, until cancelled; *look* tells what goes on just then."""
        ...


@final
@attrs.frozen(kw_only=True)
class Outcome(Generic[State]):
    """How a run ended.

    Attributes:
        run_id: its id.
        code: what the shell is told.
        result: if it ended well.
        error: if it did not.
    """

    run_id: str
    code: ExitCode
    result: RunResult[State] | None = None
    error: BaseException | None = None


async def carry_out(  # noqa: PLR0913 - options, all with a default
    flow: Flow[State, ...],
    state: State,
    view: View,
    *,
    timeout: float | None = None,
    seed: int | None = None,
    grace: float = 0.0,
    observing: Observing | None = None,
    resources: Resources | None = None,
    kill: Callable[[int], object] = os._exit,
) -> Outcome[State]:
    """Run *flow*; the first Ctrl-C or SIGTERM drains it with *grace*, the second cancels it, the third calls *kill*.

    Without a grace there is nothing to wait for, and the first cancels it. Always a checkpoint.

    Raises:
        UsageError: the run was refused before anything ran.
    """
    await trio.lowlevel.checkpoint()
    watchers = observing or Observing()
    outcome: Outcome[State] | None = None
    try:
        async with (
            watchers.observers(view.say) as observers,
            (resources or Resources()).opened(view.say) as found,
        ):
            engine = Engine(
                observers=(view.observer, *observers),
                observer_budget=A_DAY,
                redactor=REDACTOR,
                resources=found,
            )
            async with (
                watchers.serving(engine, flow, view.say),
                engine,
                engine.start(flow, state, timeout=timeout, seed=seed) as run,
            ):
                outcome = await _watched(engine, run, view, grace, kill)
    except UsageError:
        raise
    except AgentFlowError as error:
        hint = HINT if isinstance(error, ResourceError) else ""
        raise UsageError(problem=str(error), hint=hint) from error
    except BaseExceptionGroup as group:
        if group.subgroup((SystemExit, KeyboardInterrupt)) is None:
            raise
        if outcome is None:  # Ctrl-C, before there was a handler
            raise KeyboardInterrupt from group
        # A node wanted to end the program. It has ended the run, which the outcome says.
    except KeyboardInterrupt:
        if outcome is None:
            raise
        # Somebody would not wait until all traces are sent.
    return outcome


async def _watched(
    engine: Engine,
    run: Run[State],
    view: View,
    grace: float,
    kill: Callable[[int], object],
) -> Outcome[State]:
    asked = trio.Event()

    def drain(signal: str) -> None:
        left = f"what is in flight has {grace:g} s"
        view.say(f"{signal}: ending the run, {left}; once more cancels it")
        asked.set()

    async def drain_when_asked() -> None:
        await asked.wait()
        await engine.drain(grace=grace)

    def cancel(signal: str) -> None:
        view.say(f"{signal}: cancelling the run; once more ends it at once")
        run.request_cancel(signal)

    asks = (drain, cancel) if grace else (cancel,)
    outcome = Outcome[State](run_id=run.run_id, code=ExitCode.FAILED)
    # Shielded: a node that raises SystemExit cancels this task, and there is still something to say then.
    with (
        Interrupts(*asks, restore=view.restore, kill=kill) as interrupts,
        trio.CancelScope(shield=True),
        view,
    ):
        async with trio.open_nursery() as beside:
            beside.start_soon(view.keep_drawing, run.snapshot)
            beside.start_soon(drain_when_asked)
            outcome = await _ended(run)
            beside.cancel_scope.cancel()
    if outcome.error is not None and interrupts.code is not None:
        return attrs.evolve(outcome, code=interrupts.code)
    return outcome


async def _ended(run: Run[State]) -> Outcome[State]:
    await trio.lowlevel.checkpoint()
    try:
        result = await run.result()
    except (FlowFailedError, FlowAbortedError, RunCancelledError) as error:
        return Outcome(run_id=run.run_id, code=_code(error), error=error)
    return Outcome(run_id=run.run_id, code=ExitCode.SUCCESS, result=result)


def _code(error: BaseException) -> ExitCode:
    leaves = error.leaves() if isinstance(error, FlowFailedError) else ()
    timed_out = any(
        isinstance(leaf, DeadlineExceededError) and leaf.limit == "timeout of the run"
        for leaf in leaves
    )
    return ExitCode.TIMEOUT if timed_out else ExitCode.FAILED
