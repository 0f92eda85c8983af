"""In which order guards make sense: what one of them would hide from another. No clock, no I/O.

Layer: robustness. Rule: refused is only what could never do what it is for, whatever the body does; each refusal says why
and what to do. What is merely a matter of taste is let through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from .._typing import override
from ..errors import Problem

__all__ = ["Kind", "Seat", "misplaced_chaos", "order_problems", "seated_twice", "unseen_hang"]

Kind: TypeAlias = Literal[
    "fallback",
    "timeout",
    "retry",
    "hedge",
    "breaker",
    "limiter",
    "bulkhead",
    "adaptive limit",
    "load shedder",
    "chaos",
    "guard",
    "member",
]
"""What a member does, as far as its place matters; "guard" and "member" are those that nobody here knows."""


class Seat(NamedTuple):
    """A member in its place.

    Attributes:
        kind: what it does.
        name: what problems call it.
        member: itself.
        budget: the name of the budget that pays for what it repeats; None: there is none.
        seconds: of a timeout, if they are fixed.
        catches_all: whether it stands in for every error.
    """

    kind: Kind
    name: str
    member: object
    budget: str | None = None
    seconds: float | None = None
    catches_all: bool = False

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"


_NO_GUARDS: Final = ("fallback", "retry", "hedge", "member")

_JUDGES: Final = ("fallback", "retry", "hedge", "breaker", "adaptive limit")
"""Who does something about failures, and so must see them."""


def order_problems(seats: Sequence[Seat]) -> Iterator[Problem]:
    """What is wrong with members that stand in this order, outermost first."""
    yield from seated_twice("", seats, "the pipeline")
    yield from unseen_hang("", seats, "put a timeout inside the breaker: the limit of one call")
    yield from _idle_timeouts(seats)
    yield from _multiplied(seats)
    yield from _hidden_failures(seats)
    yield from misplaced_chaos("", seats)


def seated_twice(step: str, seats: Sequence[Seat], place: str) -> Iterator[Problem]:
    """Whether one stands there twice; *place* says where."""
    for number, seat in enumerate(seats):
        if any(seat.member is one.member for one in seats[:number]):
            what = seat.kind if seat.kind in _NO_GUARDS else "guard"
            sentence = f"{what} {seat.name!r} stands in {place} twice"
            yield Problem("guard_twice", step, sentence, "keep one of the two")


def unseen_hang(step: str, seats: Sequence[Seat], hint: str) -> Iterator[Problem]:
    """Whether a breaker has a timeout around it and none inside."""
    unseen: Seat | None = None
    for seat in reversed(seats):
        if seat.kind == "breaker":
            unseen = seat
        elif seat.kind == "timeout":
            if unseen is not None:
                sentence = (
                    f"{unseen} stands inside {seat}, "
                    "so it would learn of a hang only when all the time is used up"
                )
                yield Problem("hang_unseen", step, sentence, hint)
            return


def misplaced_chaos(step: str, seats: Sequence[Seat]) -> Iterator[Problem]:
    """Whether something stands inside chaos, which stands for what goes wrong out there."""
    for number, seat in enumerate(seats):
        inside = [one for one in seats[number:] if one.kind != "chaos"]
        if seat.kind == "chaos" and inside:
            sentence = f"{seat} stands outside {inside[0]}, which would see nothing of it"
            yield Problem("chaos_unseen", step, sentence, "put chaos last, next to the body")


def _idle_timeouts(seats: Sequence[Seat]) -> Iterator[Problem]:
    """Timeouts inside shorter ones, or those as long."""
    least: Seat | None = None
    for seat in seats:
        if seat.seconds is None:
            continue
        if least is None or least.seconds is None or seat.seconds < least.seconds:
            least = seat
            continue
        sentence = (
            f"{seat} ({seat.seconds:g} s) stands inside {least} ({least.seconds:g} s), "
            "so it would never cut anything off"
        )
        yield Problem(
            "timeout_idle", "", sentence, "make the inner one shorter, or leave it out"
        )


def _multiplied(seats: Sequence[Seat]) -> Iterator[Problem]:
    """Members that repeat what repeats already, without a budget that both draw on. A hedge inside a retry is no such."""
    for number, seat in enumerate(seats):
        if seat.kind not in {"retry", "hedge"}:
            continue
        for outer in seats[:number]:
            again = outer.kind in {"hedge", seat.kind}
            shared = outer.budget is not None and outer.budget == seat.budget
            if again and not shared and outer.member is not seat.member:
                yield _multiplying(outer, seat)


def _multiplying(outer: Seat, inner: Seat) -> Problem:
    sentence = f"{inner} stands inside {outer}, so their attempts multiply"
    hint = "keep one of the two, or let one RetryBudget pay for both"
    if (outer.kind, inner.kind) == ("hedge", "retry"):
        sentence = f"{sentence}, and while it pauses the hedge would not"
        hint = "put the retry outside the hedge"
    return Problem("attempts_multiply", "", sentence, hint)


def _hidden_failures(seats: Sequence[Seat]) -> Iterator[Problem]:
    """Fallbacks for everything inside somebody who must see failures."""
    for number, seat in enumerate(seats):
        outside = [one for one in seats[:number] if one.kind in _JUDGES]
        if seat.catches_all and outside:
            sentence = f"{seat} stands inside {outside[-1]}, which would never see a failure"
            hint = "put the fallback first, or say in on= which errors it is for"
            yield Problem("failure_hidden", "", sentence, hint)
