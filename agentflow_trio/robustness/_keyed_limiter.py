"""Rate limiters by key: one for each user, host or token, as long as it matters.

Layer: robustness. Rule: a limiter is let go only when nobody could tell: nothing counts any more, nobody waits, and
nobody else holds it. So it is the same limiter for a key as long as somebody has it, and never a second one beside it.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar, final, overload

import attrs

from ._bounds import named
from ._events import OnEvent
from ._limiter import RateLimiter
from ._limiter_policy import TokenBucketPolicy, WindowPolicy, policy_of

__all__ = ["KeyedRateLimiter", "KeyedRateLimiterStatistics"]

Key = TypeVar("Key", bound=Hashable)


@final
@attrs.frozen(kw_only=True)
class KeyedRateLimiterStatistics:
    """How things stand.

    Attributes:
        keys: how many keys have a limiter now.
        evicted: how many limiters were let go.
    """

    keys: int
    evicted: int


@final
class KeyedRateLimiter(Generic[Key]):
    """A rate limiter for each key, all of one policy: ``async with limits.of(user): ...``.

    Limiters of keys that are idle are let go, two at most for each new key: so there are about
    twice as many as there are keys in use. A new one would admit the same.

    Attributes:
        name: what events and errors call it, with the key: ``name[key]``.
        policy: the settings of every limiter.
    """

    __slots__ = ("_evicted", "_limiters", "_on_event", "name", "policy")

    @overload
    def __init__(
        self,
        name: str,
        policy: WindowPolicy | TokenBucketPolicy,
        *,
        on_event: OnEvent | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self, name: str, *, limit: int, window: float, on_event: OnEvent | None = None
    ) -> None: ...
    def __init__(
        self,
        name: str,
        policy: WindowPolicy | TokenBucketPolicy | None = None,
        *,
        limit: int | None = None,
        window: float | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make one, in or outside a run of Trio. The arguments are those of `RateLimiter`.

        Raises:
            TypeError: *name* is no string, neither a policy is given nor limit and window, or both are.
            ValueError: *limit* or *window* makes no sense.
        """
        named("KeyedRateLimiter", name)
        self.name: str = name
        self.policy: WindowPolicy | TokenBucketPolicy = policy_of(
            "KeyedRateLimiter", policy, limit, window
        )
        self._on_event = on_event
        self._limiters: OrderedDict[Key, RateLimiter] = OrderedDict()
        self._evicted = 0

    def of(self, key: Key, /) -> RateLimiter:
        """Return the limiter for *key*; the same one as long as anybody has it, or anything in it counts.

        Not a checkpoint; needs a run of Trio.
        """
        limiter = self._limiters.get(key)
        if limiter is None:
            for _ in range(min(2, len(self._limiters))):
                self._evict_first()
            limiter = RateLimiter(f"{self.name}[{key}]", self.policy, on_event=self._on_event)
            self._limiters[key] = limiter
        return limiter

    def statistics(self) -> KeyedRateLimiterStatistics:
        """Return how things stand. Not a checkpoint; works outside a run of Trio too."""
        return KeyedRateLimiterStatistics(keys=len(self._limiters), evicted=self._evicted)

    def _evict_first(self) -> None:
        """Let go of the limiter that was looked at longest ago, or put it last."""
        key = next(iter(self._limiters))
        if not self._limiters[key].is_idle():
            self._limiters.move_to_end(key)
            return
        alive = weakref.ref(self._limiters.pop(key))
        if (held := alive()) is None:
            self._evicted += 1
        else:
            self._limiters[key] = held
