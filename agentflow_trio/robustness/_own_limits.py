"""By which scopes a step or pipeline limits its own body.

Layer: robustness. Rule: a cancellation by one's own limit is a failure for the guards inside it, one by the caller's is
none; else a breaker would never learn of hangs.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, final

import trio

__all__ = ["declare", "has_own_limits", "is_out_of_time", "own_limits", "withdraw"]

_LIMITS: Final[ContextVar[tuple[trio.CancelScope, ...]]] = ContextVar("limits", default=())


@final
class own_limits:  # noqa: N801 - reads as a function
    """``with own_limits(scope):`` declares by which scopes a step or pipeline limits its own body; child tasks inherit them.

    Without a scope: none any more, as at the border of a nested step, whose guards judge by its own limits alone.
    """

    __slots__ = ("_scopes", "_token")

    def __init__(self, *scopes: trio.CancelScope) -> None:
        self._scopes = (*_LIMITS.get(), *scopes) if scopes else ()

    def __enter__(self) -> None:
        self._token = _LIMITS.set(self._scopes)

    def __exit__(self, *_: object) -> None:
        _LIMITS.reset(self._token)


def declare(scope: trio.CancelScope) -> None:
    """Add *scope*, until it is withdrawn: for those that cannot wrap the body in a ``with``."""
    _LIMITS.set((*_LIMITS.get(), scope))


def withdraw(scope: trio.CancelScope | None) -> None:
    """Take *scope* out again, if it is one and is there."""
    _LIMITS.set(tuple(one for one in _LIMITS.get() if one is not scope))


def has_own_limits() -> bool:
    """Whether any were declared around the caller."""
    return bool(_LIMITS.get())


def is_out_of_time() -> bool:
    """Whether one of them has cancelled what is inside it."""
    return any(scope.cancel_called for scope in _LIMITS.get())
