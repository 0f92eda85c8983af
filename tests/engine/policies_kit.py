"""What the tests of steps with retries and guards share: work that follows a tape, and short events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs
import trio

from agentflow_trio import RetryPolicy, Step, current_step, step
from agentflow_trio.events import ExecutionEvent

from .engine_kit import Notes

EXACT: Final = RetryPolicy(base_delay=1.0, jitter_kind="none")
"""Delays of 1, 2, 4 ... seconds, three attempts."""


def exact(**settings: Any) -> RetryPolicy:
    """`EXACT` with other settings."""
    return attrs.evolve(EXACT, **settings)


@attrs.define
class Tape:
    """Work that does what is on its tape, each time it is called, and notes when.

    Attributes:
        moves: what each call does: raise an error, sleep so many seconds, or return None.
        seen: the time and the number of the attempt, of each call.
    """

    moves: Sequence[BaseException | float | None]
    seen: list[tuple[float, int]] = attrs.field(factory=list[tuple[float, int]])

    async def __call__(self) -> None:
        self.seen.append((trio.current_time(), current_step().attempt))
        move = self.moves[min(len(self.seen), len(self.moves)) - 1]
        if isinstance(move, BaseException):
            raise move
        if move is not None:
            await trio.sleep(move)

    @property
    def starts(self) -> list[float]:
        return [time for time, _ in self.seen]


def playing(tape: Tape, name: str = "play", **options: Any) -> Step[Notes, []]:
    """A function step that does what is on the tape, then notes its name; before it, a mark that only its attempt sees."""

    async def play(notes: Notes) -> None:
        notes.log.append(f"{name} begins")
        await tape()
        notes.log.append(name)

    return step(name=name, **options)(play)


def guarding(events: Iterable[ExecutionEvent]) -> list[str]:
    """The events of guards and retries in short: time, type, path, and what each says."""
    short = list[str]()
    for event in events:
        if hasattr(event, "guard"):
            said = " ".join(f"{name}={text}" for name, text in event.metadata.items())
            short.append(f"{event.timestamp:g} {event.event_type} {event.path} {said}")
    return short
