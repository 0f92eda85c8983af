"""Names that a package offers but does not load until somebody asks.

Layer: the lowest; it imports nothing of the package. Loading every guard at once would add a third to the time it takes
to import this package, and most programs use two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["lazily"]


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Make the ``__getattr__`` (PEP 562) of *package*, whose names live in the submodules that *homes* says.

    Type checkers do not see it: they read plain imports beside it, and so know every name.
    """

    def find(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home, package), name)

    return find
