"""What a cache keeps: which values are still good, and which must go. No clock, no I/O.

Layer: robustness. Rules: expiries are stored, and what has ``expiry <= now`` is old; whatever was used longest ago goes
first when there is no room.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, TypeVar, final

__all__ = ["CacheCore"]

Key = TypeVar("Key")
Value = TypeVar("Value")


@final
class CacheCore(Generic[Key, Value]):
    """The values of one cache.

    Attributes:
        values: what is kept, with its expiry, used longest ago first. Some may be old: nobody asked for them since.
        hits: how often a value was found.
        evicted: how many values had to go that were still good.
    """

    __slots__ = ("_max_size", "evicted", "hits", "values")

    def __init__(self, max_size: int | None) -> None:
        self.values: OrderedDict[Key, tuple[Value, float]] = OrderedDict()
        self._max_size = math.inf if max_size is None else max_size
        self.hits: int = 0
        self.evicted: int = 0

    def find(self, key: Key, now: float) -> tuple[Value, float] | None:
        """Use what is kept of *key*: the value and its expiry, or None."""
        found = self.values.get(key)
        if found is None:
            return None
        if found[1] <= now:
            del self.values[key]
            return None
        self.values.move_to_end(key)
        self.hits += 1
        return found

    def peek(self, key: Key, now: float) -> tuple[Value, float] | None:
        """What `find` would find; nothing is counted or moved."""
        found = self.values.get(key)
        return None if found is None or found[1] <= now else found

    def put(self, key: Key, value: Value, expiry: float, now: float) -> None:
        """Keep *value* in place of what is kept of *key*, if anything is; not at all if it is old already."""
        if expiry <= now:
            self.drop(key)
            return
        self.values[key] = (value, expiry)
        self.values.move_to_end(key)
        # Two of the old ones for each new one: so they go at last, though nobody asks for them, and none costs much.
        for _ in range(2):
            oldest = next(iter(self.values))
            if self.values[oldest][1] > now:
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
