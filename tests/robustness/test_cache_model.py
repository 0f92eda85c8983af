"""What a cache keeps, against somebody who remembers everything."""

from __future__ import annotations

import pytest
from attrs import define
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentflow_trio.robustness._cache_core import CacheCore

TICKS = st.integers(0, 16).map(lambda ticks: ticks / 16)
"""Times that add up without rounding."""


@define
class Memory:
    """The last value of a key."""

    value: object
    expiry: float


class Caches(RuleBasedStateMachine):
    """What a cache promises; of what must go, the order of use decides.

    1. What is found is what was put last, and was not dropped since.
    2. It is found before its expiry, and never at it or after.
    3. It is found if fewer than max_size other keys were used since it was.
    4. It is not found if max_size others that are still good were used since.
    5. Peeking tells the same as finding, and is no use.
    6. There are never more values than max_size.
    7. What is put when it is old already is not kept, nor what was there before.
    8. Hits are those who found something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.memory: dict[str, Memory] = {}
        self.used: list[str] = []
        self.hits = 0
        self.puts = 0

    @initialize(max_size=st.none() | st.integers(1, 3))
    def make(self, max_size: int | None) -> None:
        self.max_size = max_size
        self.core: CacheCore[str, object] = CacheCore(max_size)

    @rule(data=st.data(), kind=st.sampled_from("pppppffffkktdc"))
    def something_happens(self, data: st.DataObject, kind: str) -> None:
        key = data.draw(st.sampled_from("abcde"))
        match kind:
            case "p":
                self.put(key, data.draw(TICKS))
            case "f":
                self.find(key)
            case "k":
                self.peek(key)
            case "t":
                self.now += data.draw(TICKS)
            case "d":
                self.core.drop(key)
                self.forget(key)
            case _:
                if data.draw(st.booleans()):
                    self.core.clear()
                    self.memory, self.used = {}, []

    def use(self, key: str) -> None:
        self.used = [one for one in self.used if one != key] + [key]

    def forget(self, key: str) -> None:
        self.memory.pop(key, None)
        self.used = [one for one in self.used if one != key]

    def put(self, key: str, ttl: float) -> None:
        value = object() if self.puts % 3 else None
        self.puts += 1
        self.core.put(key, value, self.now + ttl, self.now)
        if ttl:
            self.memory[key] = Memory(value, self.now + ttl)
            self.use(key)
        else:
            self.forget(key)

    def good(self, key: str) -> bool:
        return key in self.memory and self.memory[key].expiry > self.now

    def check(self, key: str, found: tuple[object, float] | None) -> None:
        if found is not None:
            assert self.good(key)
            assert found == (self.memory[key].value, self.memory[key].expiry)
            assert found[0] is self.memory[key].value
        if self.good(key):
            since = self.used[self.used.index(key) + 1 :]
            room = len(self.used) if self.max_size is None else self.max_size
            if len(since) < room:
                assert found is not None
            elif sum(map(self.good, since)) >= room:
                event("had to go")
                assert found is None

    def find(self, key: str) -> None:
        found = self.core.find(key, self.now)
        self.check(key, found)
        if found is None:
            self.forget(key)  # had to go, or is old: it does not come back
        else:
            self.hits += 1
            self.use(key)

    def peek(self, key: str) -> None:
        order = list(self.core.values)
        self.check(key, self.core.peek(key, self.now))
        assert list(self.core.values) == order

    @invariant()
    def there_is_room(self) -> None:
        assert self.max_size is None or len(self.core.values) <= self.max_size
        assert self.core.hits == self.hits


TestCaches = Caches.TestCase


# ---------------------------------------------------------------- exactly


def put(core: CacheCore[str, int], keys: str, expiry: float, now: float = 0.0) -> None:
    for number, key in enumerate(keys):
        core.put(key, number, expiry, now)


def test_who_was_used_longest_ago_goes_first() -> None:
    core = CacheCore[str, int](3)
    put(core, "abc", 9.0)
    assert core.find("a", 0.0) == (0, 9.0)
    assert core.peek("b", 0.0) == (1, 9.0)
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
    core = CacheCore[str, int](None)
    put(core, "abcde", 1.0)
    put(core, "f", 9.0, now=1.0)
    assert list(core.values) == ["c", "d", "e", "f"]
    put(core, "gh", 9.0, now=1.0)
    assert list(core.values) == ["f", "g", "h"]
    assert core.evicted == 0


def test_a_good_one_at_the_front_keeps_the_old_ones_behind_it() -> None:
    core = CacheCore[str, int](None)
    core.put("a", 0, 9.0, 0.0)
    put(core, "bc", 1.0)
    put(core, "d", 9.0, now=1.0)
    assert list(core.values) == ["a", "b", "c", "d"]


def test_no_good_one_goes_when_an_old_one_makes_room() -> None:
    core = CacheCore[str, int](2)
    core.put("old", 0, 1.0, 0.0)
    core.put("good", 1, 9.0, 0.0)
    core.put("new", 2, 9.0, 1.0)
    assert list(core.values) == ["good", "new"]
    assert core.evicted == 0


def test_what_is_found_old_is_gone() -> None:
    core = CacheCore[str, int](2)
    put(core, "a", 1.0)
    assert core.peek("a", 1.0) is None
    assert list(core.values) == ["a"]
    assert core.find("a", 1.0) is None
    assert list(core.values) == []
    assert core.hits == 0


@pytest.mark.parametrize("expiry", [1.0, 0.5])
def test_what_is_old_already_is_not_kept_nor_what_it_replaces(expiry: float) -> None:
    core = CacheCore[str, int](1)
    put(core, "a", 9.0)
    core.put("a", 7, expiry, 1.0)
    core.put("b", 7, expiry, 1.0)
    assert list(core.values) == []
    assert core.evicted == 0
