"""Progress as plain lines, for logs and pipes: one when a visit begins, one when it ends, one for what went wrong between.

Layer: cli.
"""

from __future__ import annotations

import functools
from typing import Self, TextIO, final

import trio

from ..events import (
    AlertFired,
    AlertResolved,
    BranchCancelled,
    Caught,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    ItemFailed,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
)
from ._showing import harmless, shown
from ._words import alert_words, guard_words

__all__ = ["Lines", "Undrawn", "one_line"]


def one_line(text: str) -> str:
    """*text* without line breaks and without what would move the cursor."""
    return harmless(text.replace("\n", "\r")).strip()


class Undrawn:
    """What a view that only writes lines has no need of."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the last event had its line."""

    def fail(self, text: str) -> None:
        """Write what the run failed with."""
        from .complaint import complain  # noqa: PLC0415 - rich, which lines themselves do without

        complain(text)

    def restore(self) -> None:
        """Do nothing: lines leave a terminal as it was."""

    async def keep_drawing(self, _look: object, /) -> None:
        """Return: lines need no redrawing. Always a checkpoint."""
        await trio.lowlevel.checkpoint()


@final
class Lines(Undrawn):
    """A view and its observer: a line for every visit that begins or ends; times are seconds since the run began."""

    name = "lines"

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._started = 0.0

    @property
    def observer(self) -> Lines:
        """Itself."""
        return self

    def observe(self, event: ExecutionEvent) -> None:
        """Write what there is to say about *event*."""
        if isinstance(event, RunStarted):
            self._started = event.timestamp
        said = _said(event)
        if said:
            since = event.timestamp - self._started
            self.say(f"{since:9.3f}  {one_line(f'{event.path} {said}')}")

    def say(self, text: str) -> None:
        """Write a line."""
        self._file.write(f"{shown(text)}\n")
        self._file.flush()


@functools.singledispatch
def _said(event: ExecutionEvent) -> str:
    """What there is to say of an event: nothing, unless its kind is registered below, or a guard did something."""
    return guard_words(event)


@_said.register
def _(event: RunStarted) -> str:
    return f"started, run {event.run_id}, seed {event.seed}"


@_said.register
def _(event: RunEnded) -> str:
    steps = f"{event.steps} step{'s' * (event.steps != 1)}"
    return f"ended: {event.outcome}{_by(event.exit)}{_took(event)}, {steps}"


@_said.register
def _(_: NodeStarted) -> str:
    return "started"


@_said.register
def _(event: NodeSucceeded) -> str:
    return f"done{_by(event.exit)}{_took(event)}"


@_said.register
def _(event: NodeFailed) -> str:
    return f"failed in {event.phase}{_took(event)}: {event.error}: {event.message}"


@_said.register
def _(event: NodeCancelled) -> str:
    return f"cancelled in {event.phase}{_took(event)}"


@_said.register
def _(event: BranchCancelled) -> str:
    return f"left out{_took(event)}: {event.reason}"


@_said.register
def _(event: Caught) -> str:
    return f"caught {event.error}, goes to {event.target}"


@_said.register
def _(event: FallbackUsed) -> str:
    return f"fell back after {event.error}: {event.message}"


@_said.register
def _(event: ItemFailed) -> str:
    goes_on = ", the step goes on" if event.tolerated else ""
    return f"failed{_took(event)}{goes_on}: {event.error}: {event.message}"


@_said.register
def _(event: CleanupOverrun) -> str:
    return f"cleanup {event.callback} did not end within {event.grace:g} s"


@_said.register
def _(event: ThreadAbandoned) -> str:
    return f"abandoned its thread, which works on: {event.function}"


@_said.register
def _(event: LoopBlocked) -> str:
    where = f" at {event.stack[-1]}" if event.stack else ""
    return f"blocked the loop for {event.seconds:.3f} s{where}"


@_said.register
def _(event: ThreadEnded) -> str:
    how = f" by {event.error}: {event.message}" if event.error else ""
    return f"abandoned thread ended{how}: {event.function}"


@_said.register
def _(event: ObserverFailed) -> str:
    return f"observer {event.observer} was switched off: {event.reason}"


@_said.register(AlertFired)
@_said.register(AlertResolved)
def _(event: AlertFired | AlertResolved) -> str:
    return alert_words(event)


def _by(exit_: str | None) -> str:
    return f", exit {exit_}" if exit_ else ""


def _took(event: ExecutionEvent) -> str:
    return "" if event.duration_ms is None else f" after {event.duration_ms / 1000:.3f} s"
