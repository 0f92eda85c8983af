"""Making sure that nothing is held any more: tasks, threads, tokens, locks, permits.

Layer: testing. What is held is read from public statistics, before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Protocol, final

import trio
from trio.lowlevel import Task
from trio.testing import active_thread_count

from ..engine import abandoned_threads
from ._errors import LeakError
from ._picture import name_of, tasks_below

__all__ = ["Accountable", "assert_no_leaks", "held_in"]

_HELD: Final = (
    "borrowed_tokens",
    "current_buffer_used",
    "in_flight",
    "in_use",
    "inside",
    "lent",
    "locked",
    "making",
    "open_receive_channels",
    "open_send_channels",
    "processes",
    "processes_waiting",
    "running",
    "runs",
    "tasks_waiting",
    "tasks_waiting_receive",
    "tasks_waiting_send",
    "threads",
    "threads_waiting",
    "waiting",
)
"""Fields of statistics that count what somebody holds or waits for; ours and Trio's."""


_LEFT: Final = "value"
"""What a semaphore has left to give: fewer than before means that somebody holds one."""


class Accountable(Protocol):
    """Anything that tells what of it is in use: Trio's locks, limiters and channels, and every guard."""

    def statistics(self) -> object:
        """A picture of now."""
        ...


@final
class assert_no_leaks:  # noqa: N801 - reads as what it does
    """Make sure that the body leaves nothing behind: ``with assert_no_leaks(limiter, pool): await use(limiter, pool)``.

    Looks at all tasks and threads of this run of Trio, and at what is held of everything given, also when the body is
    cancelled or raises. Nothing else may begin or end meanwhile. Not a checkpoint.

    Raises:
        LeakError: something began in the body and is still there; each is named.
    """

    def __init__(self, *held: Accountable) -> None:
        """Name what to look at besides tasks, threads and the limiter of threads."""
        self._given = held

    def __enter__(self) -> None:
        self._things: tuple[Accountable, ...] = (
            *self._given,
            trio.to_thread.current_default_thread_limiter(),
        )
        self._tasks = _tasks()
        self._threads = active_thread_count()
        self._abandoned = abandoned_threads()
        self._before = [_held(thing) for thing in self._things]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        leaks = tuple(self._leaks())
        if leaks:
            raise LeakError(leaks=leaks)

    def _leaks(self) -> Iterator[str]:
        for task in _tasks():
            if task not in self._tasks:
                yield f"task {name_of(task)} is alive"
        threads = active_thread_count() - self._threads
        if threads > 0:
            yield f"{threads} more at work in threads"
        for thread in abandoned_threads():
            if thread not in self._abandoned:
                yield f"a thread works on: {thread}"
        for thing, before in zip(self._things, self._before, strict=True):
            for field, value in _held(thing).items():
                was = before.get(field, 0)
                if value < was if field == _LEFT else value > was:
                    yield f"{type(thing).__name__}: {field} was {was}, is {value}"


def _tasks() -> list[Task]:
    root = trio.lowlevel.current_root_task()
    return [] if root is None else tasks_below(root)


def _held(thing: Accountable) -> dict[str, int]:
    found = held_in(thing.statistics())
    if isinstance(thing, trio.Semaphore):
        found[_LEFT] = thing.value
    return found


def held_in(told: object) -> dict[str, int]:
    """What is held or waited for, as far as these statistics tell, by the name of the field."""
    found: dict[str, int] = {}
    for part in (getattr(told, "lock_statistics", None), told):  # a Condition has a lock
        found.update({name: int(getattr(part, name)) for name in _HELD if hasattr(part, name)})
    return found
