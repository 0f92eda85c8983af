"""What a cache keeps: which values are still good, and which must go. No clock, no I/O.

Layer: robustness. Rules: expiries are stored, and what has ``expiry <= now`` is old; whatever was used longest ago goes
first when there is no room.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar, final

__all__ = ["CacheCore", "Kept"]

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(NamedTuple, Generic[Value]):
    """What is kept of a key.

    Attributes:
        value: what was put.
        expiry: when it is old.
        end: when it is of no use at all any more, not before it is old.
    """

    value: Value
    expiry: float
    end: float


@final
class CacheCore(Generic[Key, Value]):
    """The values of one cache.

    Attributes:
        values: what is kept, used longest ago first. Some may be old: nobody asked for them since, or they may stand in.
        hits: how often a value was found.
        stale: how often one that is old stood in.
        evicted: how many values had to go that were still of use.
    """

    __slots__ = ("_max_size", "_stale_if_error", "evicted", "hits", "stale", "values")

    def __init__(self, max_size: int | None, stale_if_error: float) -> None:
        self.values: OrderedDict[Key, Kept[Value]] = OrderedDict()
        self._max_size = math.inf if max_size is None else max_size
        self._stale_if_error = stale_if_error
        self.hits: int = 0
        self.stale: int = 0
        self.evicted: int = 0

    def find(self, key: Key, now: float) -> Kept[Value] | None:
        """Use what is kept of *key*, if it is not old."""
        found = self.values.get(key)
        if found is None:
            return None
        if found.expiry <= now:
            if found.end <= now:
                del self.values[key]
            return None
        self.values.move_to_end(key)
        self.hits += 1
        return found

    def peek(self, key: Key, now: float) -> Kept[Value] | None:
        """What `find` would find; nothing is counted or moved."""
        found = self.values.get(key)
        return None if found is None or found.expiry <= now else found

    def rescue(self, key: Key, now: float) -> Kept[Value] | None:
        """Use what is kept of *key* though it may be old, since it cannot be loaded."""
        found = self.values.get(key)
        if found is None or found.end <= now:
            return None
        self.values.move_to_end(key)
        self.stale += 1
        return found

    def put(self, key: Key, value: Value, expiry: float, now: float) -> None:
        """Keep *value* in place of what is kept of *key*, if anything is; not at all if it is old already."""
        if expiry <= now:
            self.drop(key)
            return
        self.values[key] = Kept(value, expiry, expiry + self._stale_if_error)
        self.values.move_to_end(key)
        # Two of those that are of no use for each new one: so they go at last, though nobody asks, and none costs much.
        for _ in range(2):
            oldest = next(iter(self.values))
            if self.values[oldest].end > now:
                break
            del self.values[oldest]
        if len(self.values) > self._max_size:
            self.values.popitem(last=False)
            self.evicted += 1

    def drop(self, key: Key) -> None:
        """Keep nothing of *key*."""
        self.values.pop(key, None)

    def clear(self) -> None:
        """Keep nothing."""
        self.values.clear()
