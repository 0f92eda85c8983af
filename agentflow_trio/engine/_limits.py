"""Named time limits around a piece of a run: of a step, or of the whole.

Layer: engine. Rules: a limit that cuts something off says whose it was, how long, and who used the time;
to the guards inside it, a step's own limit is a failure.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import trio

from ..errors import DeadlineExceededError
from ..robustness import own_limits
from ._failures import owe
from ._live import Strand
from ._plan import PlanStep
from ._trail import Place

__all__ = ["Limit", "bounded", "conclude_in", "limited"]

Value = TypeVar("Value")
Conclude: TypeAlias = Callable[[Sequence[BaseException]], BaseException]


class Limit(NamedTuple):
    """A named time limit.

    Attributes:
        name: what the error calls it.
        seconds: how long it is.
        account: to whom all the time is booked; None if what is inside books its own.
        heartbeat: whether every report of progress starts it anew.
        root: the visit that it is around; empty if it is around the run.
    """

    name: str
    seconds: float
    root: str = ""
    account: str | None = None
    heartbeat: bool = False


def limited(
    strand: Strand, step: PlanStep, place: Place, work: Callable[[], Awaitable[Value]]
) -> Callable[[], Awaitable[Value]]:
    """Return *work* within the step's limits."""
    if step.timeout is None and step.idle_timeout is None:
        return work
    account = None if step.deep else place.account
    limits: list[Limit] = []
    if step.timeout is not None:
        limits.append(Limit(f"timeout of {place.path}", step.timeout, place.path, account))
    if step.idle_timeout is not None:
        name = f"idle_timeout of {place.path}"
        limits.append(Limit(name, step.idle_timeout, place.path, account, heartbeat=True))

    for limit in reversed(limits):
        work = functools.partial(bounded, strand, limit, work, conclude_in(strand))
    return work


def conclude_in(strand: Strand) -> Conclude:
    """For `bounded`: the visit raises the limit's error, and what failed while it unwound goes with it."""

    def conclude(errors: Sequence[BaseException]) -> BaseException:
        owe(strand, errors[1:], strand.phase)
        return errors[0]

    return conclude


async def bounded(
    strand: Strand, limit: Limit, work: Callable[[], Awaitable[Value]], conclude: Conclude
) -> Value:
    """Do *work* within *limit*.

    When this very limit cuts it off, raise what *conclude* makes of the DeadlineExceededError and of what failed
    while the work unwound.
    """
    run, begun = strand.run, strand.run.clock()
    scope = trio.CancelScope(deadline=begun + limit.seconds)
    spent: dict[str, float] = {}
    before = strand.quiet, strand.spent, strand.heartbeats
    strand.quiet, strand.spent = False, (*strand.spent, spent)
    if limit.heartbeat:
        strand.heartbeats = (*strand.heartbeats, (scope, limit.seconds))
    left: list[BaseException] = []
    ours = False
    try:
        with scope:
            try:
                if not limit.root:
                    return await work()
                with own_limits(scope):
                    return await work()
            except BaseException as error:
                ours = error is strand.trouble.tree
                raise
    # raised below, together with the limit
    except BaseException as error:  # noqa: ASYNC103
        if ours:  # leaving the scope makes another group of it
            strand.trouble.tree = error
        if not scope.cancelled_caught:
            if (
                scope.cancel_called
            ):  # an outer limit, or the caller, cut short how this one unwound
                strand.trouble.expired = (*strand.trouble.expired, (scope.deadline, limit.name))
            raise
        left = [error]
    finally:
        strand.quiet, strand.spent, strand.heartbeats = before
    # it was this limit alone: what it cut off is a failure, and the next cancellation has a grace of its own
    run.forget_cuts(limit.root)
    strand.calm_down()
    if limit.account is not None:
        # its items, if it has any, have taken off what is theirs
        spent[limit.account] = spent.get(limit.account, 0.0) + run.clock() - begun
    most_first = dict(sorted(spent.items(), key=lambda item: -item[1]))
    earlier = tuple(
        name for deadline, name in strand.trouble.expired if deadline < scope.deadline
    )
    strand.trouble.expired = ()
    exceeded = DeadlineExceededError(
        limit=limit.name, seconds=limit.seconds, spent=most_first, earlier=earlier
    )
    raise conclude([exceeded, *left])
