"""What a guard can learn of the step it is used in, if it is used in one.

Layer: robustness. Rule: guards know nothing of flows; whoever runs steps says, once, how the step around is found.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from ..events import GuardEvent

__all__ = ["AROUND", "Around", "Surroundings"]


class Surroundings(Protocol):
    """The step that a guard is used in."""

    @property
    def listening(self) -> bool:
        """Whether anybody wants to know what guards do."""
        ...

    @property
    def seed(self) -> int:
        """What all chance in the run comes from."""
        ...

    def tell(self, event: GuardEvent, /) -> None:
        """Pass *event* on, with run, path and number. Not a checkpoint; never raises."""
        ...

    def dice(self, name: str, /) -> Random:
        """The next dice of this name in this visit, which nobody else disturbs."""
        ...


@final
class Around:
    """Where the step around the caller is found. A hook and no context variable: it costs a run nothing.

    Attributes:
        find: returns it; None if there is none.
        hint: returns None where there surely is none: a rejection, which asks, takes 0.2 us less.
    """

    __slots__ = ("find", "hint")

    def __init__(self) -> None:
        self.find: Callable[[], Surroundings | None] = lambda: None
        self.hint: Callable[[], object] = self.find


AROUND = Around()
"""Set by the engine when it is loaded."""
