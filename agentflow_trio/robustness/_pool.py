"""A pool of real objects: opened by one owner, lent to one holder at a time.

Layer: robustness. Rule: the owner sees to it that every object is closed, whatever happens, and stays until it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar, final, overload

import trio
from trio.lowlevel import enable_ki_protection

from ..errors import GuardMisuseError
from ._bounds import named
from ._events import OnEvent
from ._guard import Listener, meet
from ._pool_core import PoolStatistics
from ._pool_policy import PoolPolicy, Rules
from ._vault import Vault

__all__ = ["OpenPool", "ResourcePool", "open_pool"]

Object = TypeVar("Object")


@final
class ResourcePool(Generic[Object]):
    """Lends objects, each to one holder at a time. `open_pool` makes one.

    It is no guard, for a guard lends nothing.

    Attributes:
        name: what events and errors call it.
        policy: how it behaves.
    """

    __slots__ = ("_nowait", "_vault", "name", "policy")

    def __init__(self, name: str, policy: PoolPolicy, vault: Vault[Object]) -> None:
        """`open_pool` does this."""
        self.name: str = name
        self.policy: PoolPolicy = policy
        self._vault = vault
        self._nowait = _Nowait(vault)

    def lend(self) -> AbstractAsyncContextManager[Object, None]:
        """Borrow an object as long as a body runs: ``async with pool.lend() as conn:``.

        One that is idle, the one last used first; else a new one, made in this task; else the next that becomes
        free, in the order of arrival. Entering is always a checkpoint; Cancelled means nothing was taken. Leaving
        never waits. If the body failed or was cancelled, the object is closed unless ``reusable`` says otherwise.

        Raises:
            PoolExhaustedError: too many wait already, or it waited for ``max_wait`` in vain.
            PoolClosedError: the owner has left.
            GuardReentryError: this task, or one above it, holds an object of this pool and would wait for itself.
            GuardInUseError: the pool belongs to another run of Trio.
            GuardMisuseError: from leaving, in a task that did not enter; nothing was changed.
            Exception: what the factory raised; its place is free again.
        """
        return self._vault

    def lend_nowait(self) -> AbstractContextManager[Object, None]:
        """Borrow an object that lies ready: ``with pool.lend_nowait() as conn:``. Never a checkpoint, makes nothing.

        Nobody gets past a line this way.

        Raises:
            PoolExhaustedError: nothing lies ready.
            PoolClosedError, GuardReentryError, GuardInUseError, GuardMisuseError: as for `lend`.
        """
        return self._nowait

    def discard(self, value: Object, /) -> None:
        """Have *value*, which is lent, closed when it comes back. Not a checkpoint.

        Raises:
            GuardMisuseError: it is not lent by this pool now.
        """
        if not self._vault.core.discard(value):
            raise GuardMisuseError(guard=self.name, reason="what is discarded must be lent")

    def statistics(self) -> PoolStatistics:
        """How things stand. Not a checkpoint."""
        return self._vault.core.statistics()


@final
class _Nowait(Generic[Object]):
    """``with pool.lend_nowait() as value``; it keeps nothing, so one does for all."""

    __slots__ = ("_vault",)

    def __init__(self, vault: Vault[Object]) -> None:
        self._vault = vault

    @enable_ki_protection
    def __enter__(self) -> Object:
        return self._vault.take_nowait()

    @enable_ki_protection
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._vault.give_back(error)


@final
class OpenPool(Generic[Object]):
    """``async with open_pool(...) as pool:`` The pool is open, and owned, as long as the body runs."""

    __slots__ = ("_manager", "_name", "_on_event", "_policy", "_rules", "_vault")

    def __init__(
        self, name: str, policy: PoolPolicy, rules: Rules[Object], on_event: OnEvent | None
    ) -> None:
        """`open_pool` does this."""
        self._name = name
        self._policy = policy
        self._rules = rules
        self._on_event = on_event
        self._manager = trio.open_nursery()
        self._vault: Vault[Object] | None = None

    async def __aenter__(self) -> ResourcePool[Object]:
        """Open the pool; no object is made yet. Always a checkpoint.

        Raises:
            GuardMisuseError: it was opened before.
        """
        await trio.lowlevel.checkpoint()
        if self._vault is not None:
            raise GuardMisuseError(
                guard=self._name, reason="opened twice; call open_pool again"
            )
        closers = await self._manager.__aenter__()
        listener = Listener(self._name, self._on_event)
        self._vault = Vault(self._name, self._policy, self._rules, listener, closers)
        pool = ResourcePool(self._name, self._policy, self._vault)
        meet(pool)
        return pool

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Lend no more, wait for what is lent, close everything. Always a checkpoint.

        If the body failed, or when this is cancelled, what is still lent is not waited for but closed as well: its
        holder may be waiting for the owner. Closing is shielded, and limited by ``close_timeout``.

        Raises:
            ExceptionGroup: what closing raised, if the body ended well.
            GuardMisuseError: it was not opened.
        """
        vault = self._vault
        if vault is None:
            raise GuardMisuseError(guard=self._name, reason="left without having been opened")
        vault.stop()
        try:
            if error is None:
                await trio.lowlevel.checkpoint()  # noqa: ASYNC102 - the body ended well
                await vault.all_back()  # noqa: ASYNC102 - the same
        finally:
            # bounded by close_timeout; what is open would stay open
            with trio.CancelScope(shield=True):
                await vault.close_all()  # noqa: ASYNC102 - shielded, and bounded as said
            await self._manager.__aexit__(None, None, None)  # noqa: ASYNC102 - a nursery's end
        if error is None and vault.failures:
            raise ExceptionGroup(f"pool {self._name!r} could not close", vault.failures)


@overload
def open_pool(
    factory: Callable[[], Awaitable[Object]],
    policy: PoolPolicy,
    *,
    name: str = ...,
    close: Callable[[Object], Awaitable[object] | None] | None = ...,
    validate: Callable[[Object], bool] | None = ...,
    reusable: Callable[[Object, BaseException], bool] | None = ...,
    on_event: OnEvent | None = ...,
) -> OpenPool[Object]: ...
@overload
def open_pool(
    factory: Callable[[], Awaitable[Object]],
    *,
    size: int,
    name: str = ...,
    close: Callable[[Object], Awaitable[object] | None] | None = ...,
    validate: Callable[[Object], bool] | None = ...,
    reusable: Callable[[Object, BaseException], bool] | None = ...,
    on_event: OnEvent | None = ...,
) -> OpenPool[Object]: ...
def open_pool(
    factory: Callable[[], Awaitable[Object]],
    policy: PoolPolicy | None = None,
    *,
    size: int | None = None,
    name: str = "pool",
    close: Callable[[Object], Awaitable[object] | None] | None = None,
    validate: Callable[[Object], bool] | None = None,
    reusable: Callable[[Object, BaseException], bool] | None = None,
    on_event: OnEvent | None = None,
) -> OpenPool[Object]:
    """Make a pool of what *factory* makes, to be opened with ``async with`` and lent from while the body runs.

    Args:
        factory: makes an object, in the task that needs it. If it fails or is cancelled its place is free again.
        policy: how the pool behaves.
        size: instead of a policy, if its other settings are to be the defaults: how many objects may exist.
        name: what events and errors call it.
        close: closes an object; an async function or a plain one. By default nothing has to be done.
        validate: whether an idle object may be lent; quick, for it is asked before every loan. Raising is a no.
        reusable: whether an object may be lent again after its body ended with that error, a cancellation included.
            By default never: it may have been left in the middle of something.
        on_event: a plain function that is told every event of the pool.

    Raises:
        ValueError: a setting makes no sense; the text names it and its bound.
        TypeError: *factory* cannot be called, *name* is no string, or there is not exactly one of *policy* and *size*.
    """
    named("open_pool", name)
    if not callable(factory):
        raise TypeError(f"open_pool: factory must be a function, not {factory!r}")
    if policy is None and size is not None:
        policy = PoolPolicy(size=size)
    elif policy is None or size is not None:
        raise TypeError("open_pool: give either size= or a PoolPolicy")
    rules = Rules(factory=factory, close=close, validate=validate, reusable=reusable)
    return OpenPool(name, policy, rules, on_event)
