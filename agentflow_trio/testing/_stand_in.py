"""Failures that are no Exception, as test frameworks have them, made such that a search takes them for failures.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, final

from typing_extensions import TypeIs

__all__ = ["StandIn", "stand_in"]

_Kinds: TypeAlias = tuple[type[BaseException], ...]


@final
class StandIn(Exception):  # noqa: N818 - nobody gets to see it
    """Stands for a failure that is no Exception.

    Attributes:
        error: that failure.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def stand_in(error: BaseException, *, failures: _Kinds, others: _Kinds) -> BaseException | None:
    """What to raise instead of *error*; None if it is right as it is.

    Args:
        error: what a program raised.
        failures: what is to be searched for like any Exception: ``pytest.fail``.
        others: what ends the search, and comes out of it alone even if a nursery has wrapped it: ``pytest.skip``.
    """
    if isinstance(error, (Exception, *others)):
        return None
    leaves = list(_leaves(error))
    if len(leaves) == 1 and isinstance(leaves[0], others):
        return leaves[0]
    if all(isinstance(leaf, (Exception, *failures)) for leaf in leaves):
        return StandIn(error)
    return None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if not _is_group(error):
        yield error
        return
    for inner in error.exceptions:
        yield from _leaves(inner)


def _is_group(error: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
