"""The rules of a bulkhead against a list of people."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import pytest
from attrs import define
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from agentflow_trio.robustness._bulkhead_core import BulkheadCore

Core: TypeAlias = BulkheadCore[int, str]

TICKS = st.integers(0, 24).map(lambda ticks: ticks / 16)
"""Times that add up without rounding."""


@define
class Person:
    """Somebody who came. gives_up: when, if still waiting."""

    number: int
    gives_up: float


@define
class Said:
    """What was done, and who came in by it, to be done again without those who were cancelled."""

    who: int | None
    do: Callable[[Core], tuple[int, ...]]
    admitted: tuple[int, ...]


def came_in(next_one: int | None) -> tuple[int, ...]:
    return () if next_one is None else (next_one,)


class Bulkheads(RuleBasedStateMachine):
    """What a bulkhead promises; `inside` and `waiting` are what its callers were told.

    1. Never are more inside than the limit, but after it was lowered.
    2. Above a lowered limit nobody comes in.
    3. Inside are exactly those that were let in and have not left.
    4. Nobody waits while there is room.
    5. There is room: who comes is let in at once.
    6. There is a line: nobody passes it, not even who asks not to wait.
    7. Who comes in from the line is who came first of those that did not give up.
    8. A place that becomes free lets in one, or nobody if there is no room or no line.
    9. Leaving without being inside is an error and changes nothing.
    10. Giving up without waiting is an error and changes nothing.
    11. The line is never longer than max_waiters, and nobody is refused before it is.
    12. With max_wait 0 nobody waits.
    13. Who waits gives up at arrival + max_wait, and the first in line is the first to.
    14. A higher limit lets in as many as there is room for, first come first served, at once.
    15. A lower limit puts nobody out.
    16. Who was cancelled in the line might as well never have come: all others came in when they did.
    17. Everybody who came was let in, was refused, gave up or still waits: the counts add up.
    18. A mark comes back with its owner.
    19. When everybody has left nothing remains.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.came = 0
        self.inside: list[int] = []
        self.waiting: list[Person] = []
        self.cancelled: list[int] = []
        self.story: list[Said] = []

    @initialize(
        limit=st.integers(1, 4),
        max_waiters=st.none() | st.integers(0, 3),
        max_wait=st.just(math.inf) | TICKS,
    )
    def make(self, limit: int, max_waiters: int | None, max_wait: float) -> None:
        self.limit, self.max_waiters, self.max_wait = limit, max_waiters, max_wait
        self.first_limit = limit
        self.core = self.blank()

    def blank(self) -> Core:
        return BulkheadCore(self.first_limit, self.max_waiters, self.max_wait)

    def tell(self, who: int | None, do: Callable[[Core], tuple[int, ...]]) -> tuple[int, ...]:
        admitted = do(self.core)
        self.story.append(Said(who, do, admitted))
        return admitted

    # ------------------------------------------------------------ what may happen
    # One rule: of several Hypothesis leaves out some, and a bulkhead that nobody leaves shows little.

    @rule(data=st.data(), kind=st.sampled_from("ccccccllllwttrrn"))
    def something_happens(self, data: st.DataObject, kind: str) -> None:
        match kind:
            case "c":
                self.come(patient=data.draw(st.sampled_from([True, True, True, False])))
            case "l" if self.inside:
                self.leave(data.draw(st.sampled_from(self.inside)))
            case "w" if self.waiting:
                self.cancel(data.draw(st.sampled_from(self.waiting)))
            case "t":
                self.time_passes(data.draw(TICKS))
            case "r":
                self.resize(data.draw(st.integers(1, 5)))
            case _:
                self.nonsense(data)

    # ------------------------------------------------------------ coming

    def come(self, *, patient: bool) -> None:
        who, now = self.came, self.now
        self.came += 1
        refused: list[str | None] = []

        def do(core: Core) -> tuple[int, ...]:
            if core.enter(who, f"mark {who}"):
                return (who,)
            refused.append(
                core.line.join(who, f"mark {who}", now) if patient else core.line.refuse("full")
            )
            return ()

        admitted = self.tell(who, do)
        if len(self.inside) < self.limit and not self.waiting:
            assert admitted == (who,)
            self.inside.append(who)
            return
        assert admitted == ()
        if not patient:
            assert refused == ["full"]
        elif self.max_wait == 0.0:
            assert refused == ["max_wait"]
        elif self.max_waiters is not None and len(self.waiting) == self.max_waiters:
            assert refused == ["queue"]
        else:
            assert refused == [None]
            self.waiting.append(Person(who, now + self.max_wait))

    # ------------------------------------------------------------ going

    def leave(self, who: int) -> None:
        self.inside.remove(who)
        admitted = self.tell(who, lambda core: came_in(core.leave(who)))
        self.let_in(admitted)

    def let_in(self, admitted: tuple[int, ...]) -> None:
        room = max(0, self.limit - len(self.inside))
        first, self.waiting = self.waiting[:room], self.waiting[room:]
        assert admitted == tuple(person.number for person in first)
        self.inside.extend(admitted)

    # ------------------------------------------------------------ giving up

    def cancel(self, person: Person) -> None:
        event("cancelled")
        self.waiting.remove(person)
        self.cancelled.append(person.number)
        self.give_up(person.number, timed_out=False)

    def give_up(self, who: int, *, timed_out: bool) -> None:
        def do(core: Core) -> tuple[int, ...]:
            core.line.withdraw(who)
            if timed_out:
                assert core.line.gave_up() == "max_wait"
            return ()

        self.tell(who, do)

    def nonsense(self, data: st.DataObject) -> None:
        """Leave without being inside, and give up without waiting."""
        waiting = [person.number for person in self.waiting]
        outside = [who for who in range(self.came + 1) if who not in self.inside]
        not_waiting = [who for who in range(self.came + 1) if who not in waiting]
        before = self.core.statistics()
        with pytest.raises(KeyError):
            self.core.leave(data.draw(st.sampled_from(outside)))
        with pytest.raises(KeyError):
            self.core.line.withdraw(data.draw(st.sampled_from(not_waiting)))
        assert self.core.statistics() == before

    def time_passes(self, ticks: float) -> None:
        self.now += ticks
        while (first := self.core.line.first()) is not None and first[1] <= self.now:
            event("timed out")
            assert first == (self.waiting[0].number, self.waiting[0].gives_up)
            self.waiting.pop(0)
            self.give_up(first[0], timed_out=True)

    # ------------------------------------------------------------ the limit

    def resize(self, limit: int) -> None:
        self.limit = limit
        before = list(self.inside)
        admitted = self.tell(None, lambda core: core.resize(limit))
        event(f"{len(admitted)} came in by a higher limit")
        self.let_in(admitted)
        assert list(self.core.inside) == [*before, *admitted]

    # ------------------------------------------------------------ always

    @invariant()
    def what_is_told_is_so(self) -> None:
        told = self.core.statistics()
        assert told.limit == self.limit
        assert told.inside == len(self.inside)
        assert told.waiting == len(self.waiting)
        assert told.entered + told.refused + told.cancelled + told.waiting == self.came
        assert told.cancelled == len(self.cancelled)

    @invariant()
    def marks_are_their_owners(self) -> None:
        assert dict(self.core.inside) == {who: f"mark {who}" for who in self.inside}

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        assert not self.waiting or len(self.inside) >= self.limit
        assert all(person.gives_up > self.now for person in self.waiting)
        first = self.core.line.first()
        if self.waiting:
            assert first == (self.waiting[0].number, self.waiting[0].gives_up)
        else:
            assert first is None

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        while self.inside:
            who = self.inside.pop(0)
            self.let_in(came_in(self.core.leave(who)))
        told = self.core.statistics()
        assert (told.inside, told.waiting) == (0, 0)
        if self.max_waiters is None:  # else who waits in vain may be why another is refused
            self.cancelled_might_never_have_come()

    def cancelled_might_never_have_come(self) -> None:
        core = self.blank()
        for said in self.story:
            if said.who not in self.cancelled:
                assert said.do(core) == said.admitted


TestBulkheads = Bulkheads.TestCase
