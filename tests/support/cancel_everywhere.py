"""Interrupt something at each of its scheduler steps in turn, and look at what is left every time.

A checkpoint is where cancellation arrives, so a body that waits n times is run n + 1 times: cancelled at the
first step of any of its tasks, at the second, and so on, until once it comes to its end undisturbed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import attrs
import outcome
import trio
from typing_extensions import override

__all__ = ["Interrupt", "Interrupted", "interrupted_at", "interrupted_everywhere"]


@attrs.define
class Interrupt:
    """What is done at the chosen step.

    Attributes:
        act: by default cancels the scope around the body; the body may put something else here.
        at: the step, counted from 1 over all tasks, at which it is done.
        fired: whether that step was reached.
    """

    act: Callable[[], None]
    at: int
    fired: bool = False


@attrs.frozen
class Interrupted:
    """How the body ended.

    Attributes:
        at: the step at which it was interrupted.
        fired: False the last time, when the body ended before that step.
        cancelled: whether the scope around the body caught a cancellation.
        outcome: what the body returned or raised; None if it was cancelled and nothing failed.
        left: the names of the tasks that were not there before.
    """

    at: int
    fired: bool
    cancelled: bool
    outcome: outcome.Outcome[object] | None
    left: tuple[str, ...]


class _AtStep(trio.abc.Instrument):
    """Fires the interrupt after its n-th task step."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._steps = 0

    @override
    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps += 1
        if self._steps == self._interrupt.at:
            self._interrupt.fired = True
            self._interrupt.act()


@contextmanager
def _watching(interrupt: Interrupt) -> Iterator[None]:
    instrument = _AtStep(interrupt)
    trio.lowlevel.add_instrument(instrument)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(instrument)


def _tasks() -> list[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    found = [] if root is None else [root]
    for task in found:  # grows while it is walked
        for nursery in task.child_nurseries:
            found.extend(nursery.child_tasks)
    return found


async def interrupted_at(
    body: Callable[[Interrupt], Awaitable[object]], at: int
) -> Interrupted:
    """Run *body* once, interrupted at step *at* if it comes to that."""
    before = _tasks()
    result: outcome.Outcome[object] | None = None
    scope = trio.CancelScope()
    interrupt = Interrupt(scope.cancel, at)
    try:
        with scope, _watching(interrupt):
            result = outcome.Value(await body(interrupt))
    except Exception as error:  # noqa: BLE001 - judged by the caller
        result = outcome.Error(error)
    left = tuple(task.name for task in _tasks() if task not in before)
    return Interrupted(at, interrupt.fired, scope.cancelled_caught, result, left)


async def interrupted_everywhere(
    body: Callable[[Interrupt], Awaitable[object]],
    check: Callable[[Interrupted], None],
    *,
    at_most: int = 2000,
) -> int:
    """Run *body* again and again, each time interrupted one step later, until it ends before that.

    Args:
        body: what is interrupted; it makes everything anew, and may replace ``interrupt.act``.
        check: is told how it ended, every time, the undisturbed time included.
        at_most: how many steps are too many.

    Returns:
        How often it was interrupted.
    """
    for at in range(1, at_most):
        ended = await interrupted_at(body, at)
        check(ended)
        if not ended.fired:
            return at - 1
    raise AssertionError(f"the body took more than {at_most} steps")
