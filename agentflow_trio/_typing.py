"""What the package takes from ``typing_extensions``, without importing it: that takes 2 ms of every program's start.

Layer: the lowest; it imports nothing of the package. Type checkers see the real ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["TypeIs", "TypeVar", "override"]

if TYPE_CHECKING:
    from typing_extensions import TypeIs, TypeVar, override
else:
    from typing import TypeGuard as TypeIs
    from typing import TypeVar as _PlainTypeVar

    def override(method: object) -> object:
        """Mark what takes the place of a base's method."""
        method.__override__ = True
        return method

    # named as what it stands for, and a default is no news to the interpreter
    def TypeVar(name: str, *, default: object = None, **kwargs: object) -> object:  # noqa: ARG001, N802
        """A type variable; its default is for checkers."""
        return _PlainTypeVar(name, **kwargs)
