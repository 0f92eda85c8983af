"""The rules of a pool against a list of people and a heap of things."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
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

from agentflow_trio.robustness._pool_core import Entry, PoolCore

TICKS = st.integers(0, 24).map(lambda ticks: ticks / 16)
"""Times that add up without rounding."""

AGES = st.integers(1, 24).map(lambda ticks: ticks / 16)


def fitness(kind: str) -> st.SearchStrategy[tuple[float, float, bool]]:
    """max_idle, max_life, and whether things are found valid, as far as *kind* says."""
    idle = AGES if "i" in kind else st.just(math.inf)
    life = AGES if "l" in kind else st.just(math.inf)
    return st.tuples(idle, life, st.just("v" in kind))


@define(eq=False)
class Thing:
    """An object of the pool. check: what `validate` says; an error is raised."""

    number: int
    made_at: float
    since: float = 0.0
    check: bool | Exception = True
    discarded: bool = False


@define
class Person:
    number: int
    gives_up: float


Core: TypeAlias = PoolCore[int, str, Thing]
Served: TypeAlias = tuple[tuple[int, Thing | None], ...]
"""Who was served, and with what: None is room to make a thing."""


@define
class Said:
    """What was done, and who was served by it, to be done again without those who were cancelled."""

    who: int | None
    do: Callable[[Core], Served]
    served: Served


def served_by(core: Core, who: int | None) -> Served:
    if who is None:
        return ()
    entry = core.lent.get(who)
    return ((who, entry.value if entry else None),)


class Pools(RuleBasedStateMachine):
    """What a pool promises; who has what is what its callers were told.

    1. Never are there more things than its size, those being made or closed included.
    2. A thing has one holder at a time.
    3. Nobody waits while something is idle or there is room for one.
    4. Who is served from the line is who came first of those that did not give up.
    5. Lent is the thing returned last, of those that are fit.
    6. A thing is not lent when it is max_life old.
    7. A thing is not lent when it has been idle for max_idle.
    8. A thing found invalid is not lent; a check that raises is a no, and what it raised is kept.
    9. A thing that came back broken, or was discarded, is not lent.
    10. Each thing that is not to be lent again is given to be closed once, with the reason.
    11. A thing is made only if none is fit, lent to who made it, and only as many as have room.
    12. A thing that could not be made leaves its room to the first in line.
    13. A thing that is closed leaves its room to the first in line.
    14. Who will not wait is lent what is idle or nothing, and makes nothing.
    15. The line is never longer than max_waiters, and nobody is refused before it is; with max_wait 0 nobody waits.
    16. Who waits gives up at arrival + max_wait, the first in line first.
    17. Who was cancelled in the line might as well never have come: all others were served when they were.
    18. Giving back, or giving up, what one does not have is an error and changes nothing.
    19. Only what is lent can be discarded.
    20. Once shut, nothing is idle, nobody waits, and what comes back is closed.
    21. What is seized is lent no more and closed once.
    22. Everybody who came was served, was refused, gave up or still waits: the counts add up.
    23. A mark comes back with its owner.
    24. In the end, when it is shut, every thing that was made is closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.came = self.made = self.loans = self.refused = 0
        self.idle: list[Thing] = []
        self.lent: dict[int, Thing] = {}
        self.makers: list[int] = []
        self.waiting: list[Person] = []
        self.cancelled: list[int] = []
        self.doomed: list[tuple[Thing, str]] = []
        self.buried: list[Thing] = []
        self.faults: list[Exception] = []
        self.told: list[Thing] = []
        self.shut = False
        self.story: list[Said] = []

    @initialize(
        size=st.integers(1, 4),
        max_waiters=st.none() | st.integers(0, 3),
        max_wait=st.just(math.inf) | TICKS,
        fitness=st.sampled_from(["", "i", "l", "v", "lv", "ilv"]).flatmap(fitness),
    )
    def make(
        self,
        size: int,
        max_waiters: int | None,
        max_wait: float,
        fitness: tuple[float, float, bool],
    ) -> None:
        self.size, self.max_waiters, self.max_wait = size, max_waiters, max_wait
        self.max_idle, self.max_life, self.checked = fitness
        self.core = self.blank()

    def blank(self) -> Core:
        return PoolCore(
            self.size,
            max_waiters=self.max_waiters,
            max_wait=self.max_wait,
            max_idle=self.max_idle,
            max_life=self.max_life,
            validate=self.validate if self.checked else None,
        )

    @staticmethod
    def validate(thing: Thing) -> bool:
        if isinstance(thing.check, Exception):
            raise thing.check
        return thing.check

    def tell(self, who: int | None, do: Callable[[Core], Served]) -> Served:
        served = do(self.core)
        self.story.append(Said(who, do, served))
        return served

    # ------------------------------------------------------------ what should be

    def room(self) -> bool:
        existing = len(self.idle) + len(self.lent) + len(self.makers) + len(self.doomed)
        return existing < self.size

    def doom(self, thing: Thing, reason: str) -> None:
        event(f"closed: {reason}")
        self.doomed.append((thing, reason))

    def is_fit(self, thing: Thing) -> bool:
        if thing.made_at + self.max_life <= self.now:
            self.doom(thing, "max_life")
        elif self.checked and thing.check is not True:
            self.doom(thing, "invalid")
            if isinstance(thing.check, Exception):
                self.faults.append(thing.check)
        else:
            return True
        return False

    def fittest(self) -> Thing | None:
        """The thing to be lent, if any; what is unfit goes to be closed on the way."""
        for thing in [*self.idle]:
            if thing.since + self.max_idle <= self.now:
                self.idle.remove(thing)
                self.doom(thing, "max_idle")
        while self.idle:
            thing = self.idle.pop()
            if self.is_fit(thing):
                return thing
        return None

    def serve(self, served: Served, thing: Thing | None) -> None:
        """The first in line, if anybody, must have got *thing*, or room for one."""
        if not self.waiting:
            assert served == ()
            return
        first = self.waiting.pop(0).number
        assert served == ((first, thing),)
        self.hold(first, thing)

    def hold(self, who: int, thing: Thing | None) -> None:
        if thing is None:
            self.makers.append(who)
        else:
            assert all(other is not thing for other in self.lent.values())
            self.lent[who] = thing
            self.loans += 1

    # ------------------------------------------------------------ what may happen
    # One rule: of several Hypothesis leaves out some, and a pool in which nothing ends shows little.

    @rule(data=st.data(), kind=st.sampled_from("cccceeeeewtt"))
    def something_happens(self, data: st.DataObject, kind: str) -> None:
        match kind:
            case "c":
                self.come(patient=data.draw(st.sampled_from([True, True, True, False])))
            case "e":
                self.something_ends(data)
            case "w":
                self.something_goes_wrong(data)
            case _:
                self.time_passes(data.draw(TICKS))

    def something_ends(self, data: st.DataObject) -> None:
        """Making, a loan, or closing."""
        deeds: list[Callable[[], None]] = []
        for who in self.makers:
            deeds += [partial(self.finished, who)] * 2 + [partial(self.not_made, who)]
        for who in self.lent:
            deeds += [partial(self.come_back, who, broken=False)] * 3
            deeds += [partial(self.come_back, who, broken=True)]
        deeds += [partial(self.closed, gone) for gone in self.doomed]
        if deeds:
            data.draw(st.sampled_from(deeds))()

    def something_goes_wrong(self, data: st.DataObject) -> None:
        """A waiter is cancelled, a thing goes bad, or somebody does what makes no sense."""
        deeds: list[Callable[[], None]] = [partial(self.nonsense, data)]
        deeds += [partial(self.cancel, person) for person in self.waiting]
        deeds += [partial(self.discard, thing) for thing in self.lent.values()]
        if self.checked:
            for thing in [*self.idle, *self.lent.values()]:
                deeds += [partial(self.spoil, thing, check) for check in (False, OSError())]
        data.draw(st.sampled_from(deeds))()

    # ------------------------------------------------------------ borrowing

    def come(self, *, patient: bool) -> None:
        if patient:
            self.borrow()
        else:
            self.borrow_at_once()

    def borrow(self) -> None:
        who, now = self.came, self.now
        self.came += 1
        refused: list[str | None] = []

        def do(core: Core) -> Served:
            entry = core.take(who, f"mark {who}", now)
            if entry is not None:
                return ((who, entry.value),)
            if core.reserve(who, f"mark {who}"):
                return ((who, None),)
            refused.append(core.line.join(who, f"mark {who}", now))
            return ()

        served = self.tell(who, do)
        thing = self.fittest()
        if thing is not None or self.room():
            assert served == ((who, thing),)
            self.hold(who, thing)
            return
        assert served == ()
        if self.max_wait == 0.0:
            assert refused == ["max_wait"]
        elif self.max_waiters is not None and len(self.waiting) == self.max_waiters:
            assert refused == ["queue"]
        else:
            assert refused == [None]
            self.waiting.append(Person(who, now + self.max_wait))
            return
        self.refused += 1

    def borrow_at_once(self) -> None:
        who, now = self.came, self.now
        self.came += 1

        def do(core: Core) -> Served:
            entry = core.take(who, f"mark {who}", now)
            if entry is None:
                assert core.line.refuse("idle") == "idle"
                return ()
            return ((who, entry.value),)

        served = self.tell(who, do)
        thing = self.fittest()
        if thing is None:
            assert served == ()
            self.refused += 1
        else:
            assert served == ((who, thing),)
            self.hold(who, thing)

    # ------------------------------------------------------------ making

    def finished(self, who: int) -> None:
        self.makers.remove(who)
        thing, now = Thing(self.made, self.now), self.now
        self.made += 1

        def do(core: Core) -> Served:
            return ((who, core.made(who, thing, now).value),)

        assert self.tell(who, do) == ((who, thing),)
        self.hold(who, thing)

    def not_made(self, who: int) -> None:
        self.makers.remove(who)
        served = self.tell(who, lambda core: served_by(core, core.unmade(who)))
        self.serve(served, None)

    # ------------------------------------------------------------ giving back

    def come_back(self, who: int, *, broken: bool) -> None:
        thing, now = self.lent.pop(who), self.now
        was_all = list[bool]()

        def do(core: Core) -> Served:
            was_all.append(not broken and core.put(who))
            if was_all[-1]:
                return ()
            return served_by(core, core.give_back(who, now, broken=broken))

        served = self.tell(who, do)
        is_choosy = self.checked or min(self.max_idle, self.max_life) < math.inf
        more = broken or thing.discarded or self.shut or bool(self.waiting) or is_choosy
        assert was_all == [not more]
        if broken or thing.discarded:
            self.doom(thing, "broken")
        elif self.shut:
            self.doom(thing, "pool_closed")
        elif not self.waiting:
            thing.since = now
            self.idle.append(thing)
        elif self.is_fit(thing):
            self.serve(served, thing)
            return
        assert served == ()

    def discard(self, thing: Thing) -> None:
        thing.discarded = True

        def do(core: Core) -> Served:
            assert core.discard(thing)
            return ()

        self.tell(None, do)

    def spoil(self, thing: Thing, check: bool | Exception) -> None:
        def do(_: Core) -> Served:
            thing.check = check
            return ()

        self.tell(None, do)

    # ------------------------------------------------------------ closing

    def closed(self, gone: tuple[Thing, str]) -> None:
        self.doomed.remove(gone)
        assert all(thing is not gone[0] for thing in self.buried)
        self.buried.append(gone[0])
        self.serve(self.tell(None, lambda core: served_by(core, core.closed())), None)

    def shut_it(self) -> None:
        self.shut = True
        waited = tuple(person.number for person in self.waiting)
        assert self.core.shut() == waited
        self.refused += len(waited)
        self.waiting.clear()
        for thing in self.idle:
            self.doom(thing, "pool_closed")
        self.idle.clear()

    def seize(self) -> None:
        self.core.seize()
        for thing in self.lent.values():
            self.doom(thing, "pool_closed")
        self.lent.clear()

    # ------------------------------------------------------------ giving up

    def cancel(self, person: Person) -> None:
        self.waiting.remove(person)
        self.cancelled.append(person.number)
        self.give_up(person.number, timed_out=False)

    def give_up(self, who: int, *, timed_out: bool) -> None:
        def do(core: Core) -> Served:
            core.line.withdraw(who)
            if timed_out:
                assert core.line.gave_up() == "max_wait"
            return ()

        self.tell(who, do)

    def nonsense(self, data: st.DataObject) -> None:
        """Give back, give up and discard what is not there to be."""
        waiting = [person.number for person in self.waiting]
        nobody = data.draw(
            st.sampled_from([who for who in range(self.came + 1) if who not in self.lent])
        )
        nobody_waiting = data.draw(
            st.sampled_from([who for who in range(self.came + 1) if who not in waiting])
        )
        nothing = data.draw(st.sampled_from([*self.idle, *self.buried, Thing(-1, 0.0)]))
        before = self.core.statistics()
        assert not self.core.put(nobody)
        with pytest.raises(KeyError):
            self.core.give_back(nobody, self.now, broken=False)
        with pytest.raises(KeyError):
            self.core.line.withdraw(nobody_waiting)
        assert not self.core.discard(nothing)
        assert self.core.statistics() == before

    def time_passes(self, ticks: float) -> None:
        self.now += ticks
        while (first := self.core.line.first()) is not None and first[1] <= self.now:
            assert first == (self.waiting[0].number, self.waiting[0].gives_up)
            self.waiting.pop(0)
            self.refused += 1
            self.give_up(first[0], timed_out=True)

    # ------------------------------------------------------------ always

    @invariant()
    def what_must_be_closed_is_told_once(self) -> None:
        entries = list[Entry[Thing, str]](self.core.doomed)
        self.core.doomed.clear()
        for entry in entries:
            assert (entry.value, entry.doom) in self.doomed
            if entry.fault is not None:
                assert entry.fault is self.faults.pop(0)
        assert self.faults == []
        self.told.extend(entry.value for entry in entries)
        assert len(self.told) == len(self.doomed) + len(self.buried)
        assert len({thing.number for thing in self.told}) == len(self.told)

    @invariant()
    def what_is_told_is_so(self) -> None:
        told = self.core.statistics()
        assert told.size == self.size
        assert told.idle == len(self.idle)
        assert told.lent == len(self.lent)
        assert told.making == len(self.makers)
        assert told.closing == len(self.doomed)
        assert told.waiting == len(self.waiting)
        assert told.made == self.made
        assert told.loans == self.loans
        assert told.refused == self.refused
        assert told.cancelled == len(self.cancelled)
        assert told.idle + told.lent + told.making + told.closing <= self.size
        assert self.core.existing == told.idle + told.lent + told.making + told.closing

    @invariant()
    def nobody_waits_while_there_is_something(self) -> None:
        assert not self.waiting or not (self.idle or self.room())
        assert all(person.gives_up > self.now for person in self.waiting)
        if self.max_waiters is not None:
            assert len(self.waiting) <= self.max_waiters

    @invariant()
    def marks_and_things_are_their_holders(self) -> None:
        assert {who: entry.value for who, entry in self.core.lent.items()} == self.lent
        for who in range(self.came + 1):
            has = who in self.lent or who in self.makers
            assert self.core.mark_of(who) == (f"mark {who}" if has else None)

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        if self.max_waiters is None:  # else who waits in vain may be why another is refused
            self.cancelled_might_never_have_come()
        self.shut_it()
        self.look()
        if self.makers:
            self.finished(self.makers[0])
            self.look()
        if self.lent:
            self.come_back(next(iter(self.lent)), broken=False)
            self.look()
        self.seize()
        self.look()
        while self.makers:
            self.not_made(self.makers[0])
        while self.doomed:
            self.closed(self.doomed[-1])
        self.look()
        assert self.core.existing == 0
        assert len(self.buried) == self.made

    def look(self) -> None:
        self.what_must_be_closed_is_told_once()
        self.what_is_told_is_so()
        self.nobody_waits_while_there_is_something()
        self.marks_and_things_are_their_holders()

    def cancelled_might_never_have_come(self) -> None:
        for thing in [*self.idle, *self.lent.values(), *self.told]:
            thing.check = True  # as when the story began; spoiling is part of it
        core = self.blank()
        for said in self.story:
            if said.who not in self.cancelled:
                assert said.do(core) == said.served


TestPools = Pools.TestCase
