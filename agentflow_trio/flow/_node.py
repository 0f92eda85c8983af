"""What a node is: three async phases, its ways out named as parameters of the last.

Layer: flow. Type variables are words, because checkers print them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import attrs

from ..engine import PlanStep
from ..errors import StateTypeError
from ..types import Next
from ._inspect import defaulted_exits, ways_out

if TYPE_CHECKING:
    from ._flow import Flow
    from ._step import Step

__all__ = ["BuiltIn", "Node", "Work", "defaulted_of", "exits_of", "overwrite", "passed_exit"]

State_contra = TypeVar("State_contra", contravariant=True)
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Exits = ParamSpec("Exits")


class Work(Protocol[State_contra, Prepared, Result_co]):
    """The first two phases, to inherit for sharper messages: ``Work[Article, str, str]``.

    The checker then compares ``prep`` and ``exec`` with these types (of the state, of what prep
    returns, of what exec returns) at their own lines. It leaves ``post``, and so the exits, alone.
    A class that leaves one of the two phases out cannot be instantiated.
    """

    @abstractmethod
    def prep(self, shared: State_contra, /) -> Awaitable[Prepared]:
        """Read the state and set up; once per visit."""
        ...

    @abstractmethod
    def exec(self, prepared: Prepared, /) -> Awaitable[Result_co]:
        """Do the work, without the state; once per attempt."""
        ...


class Node(Protocol[State_contra, Prepared, Result, Exits]):
    """Anything with these three async methods. There is nothing to inherit, not even this.

    ``Exits`` is whatever ``post`` takes beyond its three arguments: keyword-only parameters of
    type `Next` without defaults, one for each way out; none for a node that always goes on.
    """

    def prep(self, shared: State_contra, /) -> Awaitable[Prepared]:
        """Read the state and set up; once per visit."""
        ...

    def exec(self, prepared: Prepared, /) -> Awaitable[Result]:
        """Do the work, without the state; once per attempt."""
        ...

    def post(
        self,
        shared: State_contra,
        prepared: Prepared,
        result: Result,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


@attrs.frozen(eq=False, repr=False, kw_only=True)
class BuiltIn(ABC):
    """A node made by this package: it knows what it compiles to.

    Attributes:
        name: what a step of it is called unless told otherwise.
        exits: the names of its ways out, in order.
    """

    name: str
    exits: tuple[str, ...]

    @property
    def inner_flow(self) -> Flow[Any, ...] | None:
        """The flow it runs, if it runs one."""
        return None

    @property
    def defaulted(self) -> tuple[str, ...]:
        """Its exits that have a default, which a flow does not let pass."""
        return ()

    @property
    def inner_steps(self) -> tuple[Step[Any, ...], ...]:
        """The steps it runs at once, if it does."""
        return ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a picture says of it besides its name, exits and policies, a few words each."""
        return ()

    @property
    def takes_fallback(self) -> bool:
        """Whether what its exec gives may be replaced by a value."""
        return False

    @property
    def is_for_items(self) -> bool:
        """Whether its exec is called for one item after the other, each with policies of its own."""
        return False

    def around(self, flow: Flow[Any, ...]) -> Node[Any, Any, Any, ...]:
        """Return this node with another inner flow."""
        return flow

    def among(self, steps: Sequence[Step[Any, ...]]) -> Node[Any, Any, Any, ...]:
        """Return this node with other inner steps, as many."""
        raise NotImplementedError(f"{self.name} has no inner steps")

    @abstractmethod
    def compile(self, name: str) -> PlanStep:
        """Make the plan step called *name*; the caller adds policies and links it."""


def exits_of(node: Node[Any, Any, Any, ...]) -> tuple[str, ...]:
    """The names of the exits of *node*, in the order in which its ``post`` takes them."""
    return node.exits if isinstance(node, BuiltIn) else ways_out(node.post, skip=3)


def defaulted_of(node: Node[Any, Any, Any, ...]) -> tuple[str, ...]:
    """The exits of *node* that have a default, so that a route could be left out in silence."""
    if isinstance(node, BuiltIn):
        return node.defaulted
    return defaulted_exits(node.post, skip=3)


# ---------------------------------------------------------------- for phases of built-in nodes


def overwrite(shared: object, changed: object) -> None:
    """Make *shared* hold what *changed* holds, an object of the same attrs class."""
    kind = type(shared)
    if not attrs.has(kind):
        raise StateTypeError(got=kind.__name__)
    for field in attrs.fields(kind):
        if hasattr(changed, field.name):
            object.__setattr__(shared, field.name, getattr(changed, field.name))
        elif hasattr(shared, field.name):
            object.__delattr__(shared, field.name)
    if hasattr(shared, "__dict__"):  # attributes that are no fields
        vars(shared).clear()
        vars(shared).update(vars(changed))


def passed_exit(
    name: str | None, exits: Sequence[str], args: Sequence[object], kwargs: Mapping[str, object]
) -> Next | None:
    """The exit called *name* among those that ``post`` was given; None if it has none."""
    given = {**dict(zip(exits, args, strict=False)), **kwargs}
    chosen = None if name is None else given.get(name)
    return chosen if isinstance(chosen, Next) else None
