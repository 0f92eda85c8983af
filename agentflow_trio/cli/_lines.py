"""Progress as plain lines, for logs and pipes: one when a visit begins, one when it ends.

Layer: cli.
"""

from __future__ import annotations

import re
from typing import TextIO, final

import trio

from ..events import (
    Caught,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    Progress,
    Routed,
    RunEnded,
    RunStarted,
)

__all__ = ["Lines", "one_line"]


def one_line(text: str) -> str:
    """*text* without line breaks and without what would move the cursor."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).strip()


@final
class Lines:
    """A view and its observer: a line for every visit that begins or ends; times are seconds since the run began."""

    name = "lines"

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._started = 0.0

    @property
    def observer(self) -> Lines:
        """Itself."""
        return self

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the last event had its line."""

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
        self._file.write(f"{text}\n")
        self._file.flush()

    def restore(self) -> None:
        """Do nothing: lines leave a terminal as it was."""

    async def keep_drawing(self) -> None:
        """Return: lines need no redrawing. Always a checkpoint."""
        await trio.lowlevel.checkpoint()


def _said(event: ExecutionEvent) -> str:
    match event:
        case RunStarted():
            return f"started, run {event.run_id}, seed {event.seed}"
        case RunEnded():
            return f"ended: {event.outcome}{_by(event.exit)}{_took(event)}, {event.steps} steps"
        case NodeStarted():
            return "started"
        case NodeSucceeded():
            return f"done{_by(event.exit)}{_took(event)}"
        case NodeFailed():
            return f"failed in {event.phase}{_took(event)}: {event.error}: {event.message}"
        case NodeCancelled():
            return f"cancelled in {event.phase}{_took(event)}"
        case Caught():
            return f"caught {event.error}, goes to {event.target}"
        case FallbackUsed():
            return f"fell back after {event.error}: {event.message}"
        case CleanupOverrun():
            return f"cleanup {event.callback} did not end within {event.grace:g} s"
        case ObserverFailed():
            return f"observer {event.observer} was switched off: {event.reason}"
        case Progress() | Routed():
            return ""


def _by(exit_: str | None) -> str:
    return f", exit {exit_}" if exit_ else ""


def _took(event: ExecutionEvent) -> str:
    return "" if event.duration_ms is None else f" after {event.duration_ms / 1000:.3f} s"
