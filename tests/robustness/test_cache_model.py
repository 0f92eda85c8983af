"""What a cache keeps, against somebody who remembers everything."""

from __future__ import annotations

import math

import pytest
from attrs import define, field
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentflow_trio.robustness._cache_core import CacheCore, Kept

TICKS = st.integers(0, 16).map(lambda ticks: ticks / 16)
"""Times that add up without rounding."""


@define
class Memory:
    """The last value of a key. since: which others were used since this one was, as keys."""

    value: object
    expiry: float
    end: float
    since: dict[str, None] = field(factory=dict[str, None])


class Caches(RuleBasedStateMachine):
    """What a cache promises; of what must go, the order of use decides.

    1. What is found is what was put last, and was not dropped since.
    2. It is found before its expiry, and never at it or after.
    3. It is found if fewer than max_size other keys were used since it was.
    4. It is not found if max_size others that are still good were used since.
    5. Peeking tells the same as finding, and is no use.
    6. To stand in, it is found until stale_if_error after its expiry, by the same rules of room.
    7. There are never more values than max_size.
    8. What is put when it is old already is not kept, nor what was there before.
    9. Hits are those who found something, and so are those who found what stands in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.memory: dict[str, Memory] = {}
        self.hits = self.stale = self.puts = 0

    @initialize(max_size=st.none() | st.integers(1, 3), stale=st.just(0.0) | TICKS)
    def make(self, max_size: int | None, stale: float) -> None:
        self.max_size, self.stale_if_error = max_size, stale
        self.core: CacheCore[str, object] = CacheCore(max_size, stale)

    @rule(data=st.data(), kind=st.sampled_from("pppppffffkkrrttdc"))
    def something_happens(self, data: st.DataObject, kind: str) -> None:
        key = data.draw(st.sampled_from("abcde"))
        match kind:
            case "p":
                self.put(key, data.draw(TICKS))
            case "f":
                self.find(key)
            case "k":
                self.peek(key)
            case "r":
                self.rescue(key)
            case "t":
                self.now += data.draw(TICKS)
            case "d":
                self.core.drop(key)
                self.forget(key)
            case _:
                if data.draw(st.booleans()):
                    self.core.clear()
                    self.memory.clear()

    def use(self, key: str) -> None:
        for other in self.memory.values():
            other.since[key] = None
        self.memory[key].since.clear()

    def forget(self, key: str) -> None:
        self.memory.pop(key, None)

    def put(self, key: str, ttl: float) -> None:
        value = object() if self.puts % 3 else None
        self.puts += 1
        self.core.put(key, value, self.now + ttl, self.now)
        if ttl:
            expiry = self.now + ttl
            self.memory[key] = Memory(value, expiry, expiry + self.stale_if_error)
            self.use(key)
        else:
            self.forget(key)

    def good(self, key: str) -> bool:
        return key in self.memory and self.memory[key].expiry > self.now

    def of_use(self, key: str) -> bool:
        return key in self.memory and self.memory[key].end > self.now

    def check(self, key: str, found: Kept[object] | None, *, old: bool = False) -> None:
        found_if = self.of_use if old else self.good
        if found is not None:
            assert found_if(key)
            kept = self.memory[key]
            assert (found.expiry, found.end) == (kept.expiry, kept.end)
            assert found.value is kept.value
        if found_if(key):
            since = self.memory[key].since
            room = math.inf if self.max_size is None else self.max_size
            if len(since) < room:
                assert found is not None
            elif sum(map(self.of_use, since)) >= room:
                event("had to go")
                assert found is None

    def find(self, key: str) -> None:
        found = self.core.find(key, self.now)
        self.check(key, found)
        if found is not None:
            self.hits += 1
            self.use(key)
        elif self.good(key) or not self.of_use(key):
            self.forget(key)  # had to go, or is of no use: it does not come back

    def rescue(self, key: str) -> None:
        found = self.core.rescue(key, self.now)
        self.check(key, found, old=True)
        if found is not None:
            event("stands in")
            self.stale += 1
            self.use(key)

    def peek(self, key: str) -> None:
        order = list(self.core.values)
        self.check(key, self.core.peek(key, self.now))
        assert list(self.core.values) == order

    @invariant()
    def there_is_room(self) -> None:
        assert self.max_size is None or len(self.core.values) <= self.max_size
        assert (self.core.hits, self.core.stale) == (self.hits, self.stale)


TestCaches = Caches.TestCase


# ---------------------------------------------------------------- exactly


def put(core: CacheCore[str, int], keys: str, expiry: float, now: float = 0.0) -> None:
    for number, key in enumerate(keys):
        core.put(key, number, expiry, now)


def test_who_was_used_longest_ago_goes_first() -> None:
    core = CacheCore[str, int](3, 0.0)
    put(core, "abc", 9.0)
    assert core.find("a", 0.0) == Kept(0, 9.0, 9.0)
    assert core.peek("b", 0.0) == Kept(1, 9.0, 9.0)
    put(core, "d", 9.0)
    assert list(core.values) == ["c", "a", "d"]
    assert core.evicted == 1
    put(core, "c", 9.0)  # in its own place
    assert list(core.values) == ["a", "d", "c"]
    assert core.evicted == 1
    put(core, "ef", 9.0)
    assert list(core.values) == ["c", "e", "f"]
    assert core.evicted == 3


def test_for_each_new_value_two_old_ones_go() -> None:
    core = CacheCore[str, int](None, 0.0)
    put(core, "abcde", 1.0)
    put(core, "f", 9.0, now=1.0)
    assert list(core.values) == ["c", "d", "e", "f"]
    put(core, "gh", 9.0, now=1.0)
    assert list(core.values) == ["f", "g", "h"]
    assert core.evicted == 0


def test_a_good_one_at_the_front_keeps_the_old_ones_behind_it() -> None:
    core = CacheCore[str, int](None, 0.0)
    core.put("a", 0, 9.0, 0.0)
    put(core, "bc", 1.0)
    put(core, "d", 9.0, now=1.0)
    assert list(core.values) == ["a", "b", "c", "d"]


def test_no_good_one_goes_when_an_old_one_makes_room() -> None:
    core = CacheCore[str, int](2, 0.0)
    core.put("old", 0, 1.0, 0.0)
    core.put("good", 1, 9.0, 0.0)
    core.put("new", 2, 9.0, 1.0)
    assert list(core.values) == ["good", "new"]
    assert core.evicted == 0


def test_what_is_found_old_is_gone() -> None:
    core = CacheCore[str, int](2, 0.0)
    put(core, "a", 1.0)
    assert core.peek("a", 1.0) is None
    assert list(core.values) == ["a"]
    assert core.find("a", 1.0) is None
    assert list(core.values) == []
    assert core.hits == 0


@pytest.mark.parametrize("expiry", [1.0, 0.5])
def test_what_is_old_already_is_not_kept_nor_what_it_replaces(expiry: float) -> None:
    core = CacheCore[str, int](1, 0.0)
    put(core, "a", 9.0)
    core.put("a", 7, expiry, 1.0)
    core.put("b", 7, expiry, 1.0)
    assert list(core.values) == []
    assert core.evicted == 0


def test_what_is_old_but_may_stand_in_is_kept_as_long_as_it_may() -> None:
    core = CacheCore[str, int](2, 1.0)
    put(core, "ab", 1.0)
    assert core.find("a", 1.0) is None
    assert core.peek("a", 1.0) is None
    assert core.rescue("a", 1.9375) == Kept(0, 1.0, 2.0)
    assert list(core.values) == ["b", "a"]
    core.put("c", 2, 9.0, 1.9375)
    assert list(core.values) == ["a", "c"]
    assert core.evicted == 1
    assert core.rescue("a", 2.0) is None
    assert core.rescue("never", 2.0) is None
    assert list(core.values) == ["a", "c"]
    assert core.rescue("c", 2.0) == Kept(2, 9.0, 10.0)
    assert core.find("a", 2.0) is None
    assert list(core.values) == ["c"]
    assert (core.hits, core.stale) == (0, 2)
