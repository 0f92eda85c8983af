"""The rules of loading once for all, against people who stand in lines."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import pytest
from attrs import define, field
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentflow_trio.robustness._flight_core import Ended, Flight, FlightCore

Core: TypeAlias = FlightCore[str, int]


@define(eq=False)
class Person:
    """Somebody who asks. within: the load in which, if in any."""

    number: int
    within: Load | None


@define(eq=False)
class Load:
    """Who loads, who waits, first to last, and whether who comes now would get the answer."""

    key: str
    flight: Flight[str, int]
    leader: Person
    begun: float
    line: list[Person] = field(factory=list[Person])
    valid: bool = True

    @property
    def people(self) -> list[Person]:
        return [self.leader, *self.line]


class Flights(RuleBasedStateMachine):
    """What those who ask are promised.

    1. Who asks for what nobody loads begins; who asks for what is being loaded waits, and begins nothing.
    2. When a load ends, all who wait for it are answered, in the order in which they came, and nobody else.
    3. When who loads is gone, the one who has waited longest loads, and the others go on waiting.
    4. When nobody waits, the load is over with the one who is gone.
    5. Who was cancelled is never woken.
    6. Withdrawing twice, or without waiting, is an error and changes nothing.
    7. Who comes after a key became invalid gets nothing that was begun before.
    8. Who came before gets an answer all the same.
    9. What is begun anew after that is valid again, unless a valid one goes on.
    10. Of a key at most one load is valid.
    11. Nobody waits for himself, nor in a circle: who would is told, and whoever is not told will be answered.
    12. The counts add up.
    13. When the last load has ended nothing remains.
    """

    def __init__(self) -> None:
        super().__init__()
        self.core: Core = FlightCore()
        self.now = 0.0
        self.came = 0
        self.loads: list[Load] = []
        self.joined = 0
        self.over: dict[Ended, int] = {"loaded": 0, "failed": 0, "cancelled": 0}

    # ------------------------------------------------------------ what may happen

    @rule(data=st.data(), kind=st.sampled_from("aaaaaaeefgggwwicx"))
    def something_happens(self, data: st.DataObject, kind: str) -> None:
        self.now += 1.0
        lines = [load for load in self.loads if load.line]
        match kind:
            case "a":
                within = data.draw(st.none() | st.sampled_from([None, *self.loads]))
                self.ask(data.draw(st.sampled_from("abc")), within)
            case "e" | "f" if free := self.free():
                self.end(
                    data.draw(st.sampled_from(free)), "loaded" if kind == "e" else "failed"
                )
            case "g" if free := self.free():
                self.go(data.draw(st.sampled_from(free)))
            case "w" if lines:
                load = data.draw(st.sampled_from(lines))
                self.withdraw(load, data.draw(st.sampled_from(load.line)))
            case "i":
                self.invalidate(data.draw(st.sampled_from("abc")))
            case "c":
                self.clear()
            case _:
                self.withdraw_nobody(data)

    def valid(self, key: str) -> Load | None:
        found = [load for load in self.loads if load.key == key and load.valid]
        assert len(found) <= 1
        return found[0] if found else None

    def free(self) -> list[Load]:
        """Those that can end: nobody is inside any more."""
        busy = [person.within for load in self.loads for person in load.people]
        return [load for load in self.loads if load not in busy]

    def waits_for(self, load: Load, other: Load) -> bool:
        inside = [one for one in self.loads if any(who.within is load for who in one.people)]
        return load is other or any(self.waits_for(one, other) for one in inside)

    # ------------------------------------------------------------ coming

    def ask(self, key: str, within: Load | None) -> None:
        person = Person(self.came, within)
        self.came += 1
        load, flight = self.valid(key), self.core.flights.get(key)
        inside = None if within is None else within.flight
        if load is None:
            assert flight is None
            flight = self.core.begin(key, self.now, inside)
            self.loads.append(Load(key, flight, person, self.now))
            return
        assert flight is not None
        assert flight is load.flight
        if within is not None and inside is not None:
            circle = self.waits_for(load, within)
            event(f"in a circle: {circle}")
            assert self.core.needs(flight, inside) == circle
            if circle:
                return
        self.core.join(flight, person.number, inside)
        load.line.append(person)
        self.joined += 1

    # ------------------------------------------------------------ going

    def end(self, load: Load, ended: Ended) -> None:
        answered = self.core.end(load.flight, ended)
        assert answered == tuple(person.number for person in load.line)
        self.loads.remove(load)
        self.over[ended] += 1

    def go(self, load: Load) -> None:
        heir = self.core.hand_on(load.flight, self.now)
        self.over["cancelled"] += 1
        if not load.line:
            assert heir is None
            self.loads.remove(load)
            return
        load.leader = load.line.pop(0)
        load.begun = self.now
        assert heir == load.leader.number
        if self.valid(load.key) is None:
            event("valid again")
            load.valid = True

    def withdraw(self, load: Load, person: Person) -> None:
        load.line.remove(person)
        self.core.withdraw(load.flight, person.number)

    def withdraw_nobody(self, data: st.DataObject) -> None:
        if not self.loads:
            return
        load = data.draw(st.sampled_from(self.loads))
        waiting = [person.number for person in load.line]
        nobody = [who for who in range(self.came + 1) if who not in waiting]
        with pytest.raises(KeyError):
            self.core.withdraw(load.flight, data.draw(st.sampled_from(nobody)))

    # ------------------------------------------------------------ what is loaded is old

    def invalidate(self, key: str) -> None:
        self.core.invalidate(key)
        load = self.valid(key)
        if load is not None:
            load.valid = False

    def clear(self) -> None:
        self.core.clear()
        for load in self.loads:
            load.valid = False

    # ------------------------------------------------------------ always

    @invariant()
    def what_is_told_is_so(self) -> None:
        assert list(self.core.running) == [load.flight for load in self.loads]
        assert self.core.waiting == sum(len(load.line) for load in self.loads)
        assert self.core.joined == self.joined
        assert self.core.ended == self.over
        for load in self.loads:
            assert load.flight.current == load.valid
            assert load.flight.key == load.key
            assert load.flight.begun == load.begun
        assert self.core.flights == {load.key: load.flight for load in self.loads if load.valid}

    @invariant()
    def somebody_can_always_end(self) -> None:
        assert not self.loads or self.free()

    def teardown(self) -> None:
        while free := self.free():
            self.end(free[0], "loaded")
        assert self.loads == []
        assert (self.core.running, self.core.flights, self.core.waiting) == ({}, {}, 0)


TestFlights = Flights.TestCase


# ---------------------------------------------------------------- what a machine may miss


def test_who_is_gone_is_no_longer_within() -> None:
    """The one who loads now asked from outside: then what was around the one before may ask for this key."""
    core: Core = FlightCore()
    outer = core.begin("outer", 0.0, None)
    inner = core.begin("inner", 0.0, outer)
    core.join(inner, 1, None)
    assert core.needs(outer, inner)
    assert core.hand_on(inner, 1.0) == 1
    assert not core.needs(outer, inner)


def test_whoever_would_close_a_circle_of_three_is_told() -> None:
    core: Core = FlightCore()
    loads = [core.begin(key, 0.0, None) for key in "abc"]
    core.join(loads[1], 1, loads[0])
    core.join(loads[2], 2, loads[1])
    assert core.needs(loads[0], loads[2])
    assert not core.needs(loads[2], loads[0])
    core.withdraw(loads[1], 1)
    assert not core.needs(loads[0], loads[2])


def test_many_ways_around_are_looked_at_once() -> None:
    """Each load is asked for by two within the one before: 2 ** 40 ways, 40 loads."""
    core: Core = FlightCore()
    loads = [core.begin(str(number), 0.0, None) for number in range(40)]
    for number, (one, other) in enumerate(pairwise(loads)):
        core.join(other, 2 * number, one)
        core.join(other, 2 * number + 1, one)
    assert core.needs(loads[0], loads[39])
