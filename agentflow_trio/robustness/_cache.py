"""TTLCache: values that were loaded are kept for a while, and each is loaded once at a time.

Layer: robustness. Rules: errors are never kept; what became invalid while it was loaded is not kept either; keys are
told to nobody, for they may be secret.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar, final, overload

import attrs
import trio
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_root_task,
    enable_ki_protection,
    in_trio_run,
)

from ._bounds import Number, named
from ._cache_core import CacheCore
from ._cache_policy import CachePolicy
from ._events import CacheHit, OnEvent
from ._guard import Home, Listener
from ._loading import Loaded, Loading
from ._verdict_core import is_async

__all__ = ["TTLCache", "TTLCacheStatistics"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Default = TypeVar("Default")

_SECONDS: Final = Number(at_most=math.inf)


@final
@attrs.frozen(kw_only=True)
class TTLCacheStatistics:
    """How things stand.

    Attributes:
        stored: how many values are kept. Some may be old: those that nobody asked for since, and those that may stand in.
        hits: how often a value was there.
        stale: how often a value that was old stood in for one that could not be loaded.
        evicted: how many values had to go before their time, since there was no room.
        running: how many loads go on.
        waiting: how many wait for a load that another task makes.
        joined: how many did since the start.
        loaded: how many loads ended well.
        failed: how many failed.
        cancelled: how many were cut off because the one who made them was cancelled.
    """

    stored: int
    hits: int
    stale: int
    evicted: int
    running: int
    waiting: int
    joined: int
    loaded: int
    failed: int
    cancelled: int


@final
class TTLCache(Generic[Key, Value]):
    """Keeps what was loaded for ``ttl`` seconds: ``await prices.get("ACME")``.

    What is not there, or is old, is loaded, once for all who ask for it meanwhile, as `SingleFlight` does. Errors are never
    kept. All get the very same value, which is not copied: what may be changed is better made unchangeable. Used in
    another run of Trio it starts empty.

    Attributes:
        name: what events and errors call it.
        policy: as it was made.
    """

    __slots__ = (
        "_core",
        "_home",
        "_listener",
        "_load",
        "_loading",
        "_ttl_of",
        "name",
        "policy",
    )

    @overload
    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value]],
        policy: CachePolicy,
        *,
        name: str = ...,
        ttl_of: Callable[[Key, Value], float] | None = ...,
        on_event: OnEvent | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value]],
        *,
        ttl: float,
        name: str = ...,
        ttl_of: Callable[[Key, Value], float] | None = ...,
        on_event: OnEvent | None = ...,
    ) -> None: ...
    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value]],
        policy: CachePolicy | None = None,
        *,
        ttl: float | None = None,
        name: str = "cache",
        ttl_of: Callable[[Key, Value], float] | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a cache, here or anywhere: it needs no running loop.

        Args:
            load: makes the value of a key, which must be hashable.
            policy: how it behaves.
            ttl: instead of a policy, if its other settings are to be the defaults: seconds for which a value is good.
            name: what events and errors call it.
            ttl_of: a plain function of key and value that says for how many seconds this value is good, if that is less
                than ``ttl``; 0 is not at all. If it fails, the value is not kept.
            on_event: a plain function that is told every event of it.

        Raises:
            ValueError: a setting makes no sense; the text names it and its bound.
            TypeError: *load* cannot be called, *name* is no string, *ttl_of* is no plain function, or there is not exactly one
                of *policy* and *ttl*.
        """
        named("TTLCache", name)
        if not callable(load):
            raise TypeError(f"TTLCache: load must be a function, not {load!r}")
        if policy is None and ttl is not None:
            policy = CachePolicy(ttl=ttl)
        elif policy is None or ttl is not None:
            raise TypeError("TTLCache: give either ttl= or a CachePolicy")
        if ttl_of is not None and not _is_plain(ttl_of):
            raise TypeError(f"TTLCache: ttl_of must be a plain function, not {ttl_of!r}")
        self.name: str = name
        self.policy: CachePolicy = policy
        self._load = load
        self._ttl_of = ttl_of
        self._home = Home()
        self._listener = Listener(name, on_event)
        self._start_blank()

    def _start_blank(self) -> None:
        self._listener.start_anew()
        self._core: CacheCore[Key, Value] = CacheCore(
            self.policy.max_size, self.policy.stale_if_error
        )
        self._loading: Loading[Key, Value] = Loading(
            self.name, self._load, self._listener, self._keep, self._rescue
        )

    def _settle(self) -> None:
        if current_root_task() is not self._home.root and self._home.move_in(self):
            self._start_blank()

    # ------------------------------------------------------------ asking

    @enable_ki_protection
    async def get(self, key: Key, /) -> Value:
        """The value of *key*: as it is kept, or loaded now, or being loaded.

        A checkpoint, also if the value is kept (`peek` is none); who loads gets as much of one as the load is.

        Who waits when a load ends gets its result, also if it is cancelled at the same instant; who is cancelled before
        that gets nothing, and has waited for nothing. If a load fails, a value that has not been old for longer than
        ``stale_if_error`` stands in, for all.

        Raises:
            LoadFailedError: another task loaded, and failed; the cause is its error. Each who waited gets an error of its own.
            GuardReentryError: the load of this key asked for it, so that it would wait for itself.
            GuardInUseError: it is in use under another run of Trio.
            Exception: what the load raised, in the task that loaded.
        """
        await checkpoint_if_cancelled()
        self._settle()
        now = trio.current_time()
        found = self._core.find(key, now)
        if found is None:
            return await self._loading.get(key)
        if self._listener.on:
            self._listener.tell(CacheHit(guard=self.name, timestamp=now, source="stored"))
        await cancel_shielded_checkpoint()
        return found.value

    @overload
    def peek(self, key: Key, /) -> Value | None: ...
    @overload
    def peek(self, key: Key, default: Default, /) -> Value | Default: ...
    def peek(self, key: Key, default: object = None, /) -> object:
        """The value that is kept of *key*, else *default*. Not a checkpoint; loads nothing and counts as no use.

        Raises:
            GuardInUseError: it is in use under another run of Trio.
        """
        self._settle()
        found = self._core.peek(key, trio.current_time())
        return default if found is None else found.value

    # ------------------------------------------------------------ what is kept

    def put(self, key: Key, value: Value, /) -> None:
        """Keep *value* as if it had been loaded now. Not a checkpoint.

        It is newer than what is being loaded: those who wait for that are answered, but it is not kept.

        Raises:
            GuardInUseError: it is in use under another run of Trio.
        """
        self.invalidate(key)
        self._keep(key, value)

    def invalidate(self, key: Key, /) -> None:
        """Forget the value of *key*. Not a checkpoint.

        If it is being loaded, those who wait are answered, but what they get is not kept; who comes from now on loads anew.

        Raises:
            GuardInUseError: it is in use under another run of Trio.
        """
        self._settle()
        self._core.drop(key)
        self._loading.core.invalidate(key)

    def clear(self) -> None:
        """Forget all values, as `invalidate` does. Not a checkpoint.

        Raises:
            GuardInUseError: it is in use under another run of Trio.
        """
        self._settle()
        self._core.clear()
        self._loading.core.clear()

    def _keep(self, key: Key, value: Value) -> None:
        now = trio.current_time()
        self._core.put(key, value, now + self._good_for(key, value), now)

    def _rescue(self, key: Key) -> Loaded[Value] | None:
        found = self._core.rescue(key, trio.current_time())
        return None if found is None else Loaded(found.value)

    def _good_for(self, key: Key, value: Value) -> float:
        if self._ttl_of is None:
            return self.policy.ttl
        try:
            seconds = self._ttl_of(key, value)
            _SECONDS.check("TTLCache", "what ttl_of returns", seconds)
        except Exception as wrong:  # noqa: BLE001 - told; whoever asked for the value has it all the same
            self._listener.complain(wrong)
            return 0.0
        return min(seconds, self.policy.ttl)

    # ------------------------------------------------------------ how things stand

    def statistics(self) -> TTLCacheStatistics:
        """How things stand. Not a checkpoint; works outside a run of Trio too."""
        if in_trio_run():
            self._settle()
        core, loads = self._core, self._loading.core
        return TTLCacheStatistics(
            stored=len(core.values),
            hits=core.hits,
            stale=core.stale,
            evicted=core.evicted,
            running=len(loads.running),
            waiting=loads.waiting,
            joined=loads.joined,
            **loads.ended,
        )


def _is_plain(function: object) -> bool:
    return callable(function) and not is_async(function)
