"""What a node is: three async phases, its ways out named as parameters of the last.

Layer: flow. Type variables are words, because checkers print them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import attrs

from ..engine import PlanStep
from ..errors import StateTypeError
from ..types import Next
from ._inspect import ways_out

if TYPE_CHECKING:
    from ._flow import Flow

__all__ = ["BuiltIn", "Node", "Work", "exits_of", "named_exit", "overwrite"]

State_contra = TypeVar("State_contra", contravariant=True)
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Exits = ParamSpec("Exits")


class Work(Protocol[State_contra, Prepared, Result_co]):
    """The first two phases. Inherit ``Work[Article, str, int]`` for sharper messages; it leaves ``post``, and so the exits, alone."""

    def prep(self, shared: State_contra, /) -> Awaitable[Prepared]: ...

    def exec(self, prepared: Prepared, /) -> Awaitable[Result_co]: ...


class Node(Protocol[State_contra, Prepared, Result, Exits]):
    """Anything with these three async methods. There is no base class to inherit.

    ``prep`` reads the state and sets up, ``exec`` does the work without seeing the state, ``post`` writes
    the state and returns the exit it takes. ``Exits`` is whatever ``post`` takes beyond its three arguments:
    keyword-only parameters of type `Next`, one for each way out; none for a node that always goes on.
    """

    def prep(self, shared: State_contra, /) -> Awaitable[Prepared]: ...

    def exec(self, prepared: Prepared, /) -> Awaitable[Result]: ...

    def post(
        self, shared: State_contra, prepared: Prepared, result: Result, /, *args: Exits.args, **kwargs: Exits.kwargs
    ) -> Awaitable[Next | None]: ...


class BuiltIn(ABC):
    """A node made by this package: it knows its name, its exits and what it compiles to."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What a step of it is called unless told otherwise."""

    @property
    @abstractmethod
    def exits(self) -> tuple[str, ...]:
        """The names of its ways out."""

    @property
    def inner_flow(self) -> Flow[Any, ...] | None:
        """The flow it runs, if it is one."""
        return None

    def around(self, flow: Flow[Any, ...]) -> Node[Any, Any, Any, ...]:
        """This node with another inner flow."""
        return flow

    @abstractmethod
    def compile(self, name: str) -> PlanStep:
        """Make the plan step called *name*; the caller adds policies and links it."""


def overwrite(shared: object, changed: object) -> None:
    """Give *shared* the field values of *changed*, an object of the same attrs class."""
    kind = type(shared)
    if not attrs.has(kind):
        raise StateTypeError(got=kind.__name__)
    for field in attrs.fields(kind):
        object.__setattr__(shared, field.name, getattr(changed, field.name))


def named_exit(name: str | None, exits: Mapping[str, object]) -> Next | None:
    """The exit called *name* among those that ``post`` was given; None for a step without exits."""
    chosen = exits.get(name) if name is not None else None
    return chosen if isinstance(chosen, Next) else None


def exits_of(node: Node[Any, Any, Any, ...]) -> tuple[str, ...]:
    """The names of the exits of *node*, in the order in which its ``post`` takes them."""
    return node.exits if isinstance(node, BuiltIn) else ways_out(node.post, skip=3)
