"""What `each` and `batch` take: nodes whose exec handles one item or several, and how outputs become a total.

Layer: flow. Type variables are words, because checkers print them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, final

import attrs

from ..types import Next

__all__ = [
    "AnyItems",
    "BatchNode",
    "EachNode",
    "Fold",
    "Source",
    "StreamBatchNode",
    "StreamNode",
    "fold",
]

State_contra = TypeVar("State_contra", contravariant=True)
Item = TypeVar("Item")
Output = TypeVar("Output")
Output_co = TypeVar("Output_co", covariant=True)
Received_contra = TypeVar("Received_contra", contravariant=True)
Total = TypeVar("Total")
Exits = ParamSpec("Exits")

Source: TypeAlias = Iterable[Item] | AsyncIterable[Item]
"""What ``prep`` of a folded ``each`` or ``batch`` may give."""


class EachNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For `each`: prep gives the items, exec handles one, post gets what became of them."""

    def prep(self, shared: State_contra, /) -> Awaitable[Sequence[Item]]:
        """Give the items; once per visit."""
        ...

    def exec(self, item: Item, /) -> Awaitable[Output_co]:
        """Handle one item, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        items: Sequence[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


class StreamNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For a folded `each`: prep may give any iterable, also an asynchronous one."""

    def prep(self, shared: State_contra, /) -> Awaitable[Source[Item]]:
        """Give the source of the items; once per visit."""
        ...

    def exec(self, item: Item, /) -> Awaitable[Output_co]:
        """Handle one item, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        source: Source[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


class BatchNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For `batch`: as `EachNode`, but exec handles several items and gives as many outputs."""

    def prep(self, shared: State_contra, /) -> Awaitable[Sequence[Item]]:
        """Give the items; once per visit."""
        ...

    def exec(self, items: Sequence[Item], /) -> Awaitable[Sequence[Output_co]]:
        """Handle some items, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        items: Sequence[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


class StreamBatchNode(Protocol[State_contra, Item, Output_co, Received_contra, Exits]):
    """For a folded `batch`: prep may give any iterable, also an asynchronous one."""

    def prep(self, shared: State_contra, /) -> Awaitable[Source[Item]]:
        """Give the source of the items; once per visit."""
        ...

    def exec(self, items: Sequence[Item], /) -> Awaitable[Sequence[Output_co]]:
        """Handle some items, without the state."""
        ...

    def post(
        self,
        shared: State_contra,
        source: Source[Item],
        received: Received_contra,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]:
        """Write the state; return the exit to take, or None if there are no exits."""
        ...


_Unchecked: TypeAlias = Any
"""What the overloads have compared already."""


class AnyItems(Protocol[State_contra, Exits]):
    """Any of these."""

    def prep(self, shared: State_contra, /) -> Awaitable[Any]: ...
    def exec(self, items: _Unchecked, /) -> Awaitable[Any]: ...
    def post(
        self,
        shared: State_contra,
        source: _Unchecked,
        received: _Unchecked,
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Awaitable[Next | None]: ...


@final
@attrs.frozen
class Fold(Generic[Output, Total]):
    """How outputs become a total; made with `fold`.

    Attributes:
        start: gives the total of nothing.
        add: gives the total with one more output.
        order: in which outputs are added.
    """

    start: Callable[[], Total]
    add: Callable[[Total, Output], Total]
    order: Literal["input", "completion"] = "input"


def fold(
    start: Callable[[], Total],
    add: Callable[[Total, Output], Total],
    /,
    *,
    order: Literal["input", "completion"] = "input",
) -> Fold[Output, Total]:
    """Say how ``each`` and ``batch`` fold outputs: ``into=fold(float, operator.add)``.

    Args:
        start: a plain function that gives the total of nothing; called once per visit.
        add: a plain function of the total so far and one output; returns the next total.
        order: in which outputs are added. In that of the input an item waits for those before it,
            and none is begun that is more than twice ``concurrent`` ahead.
    """
    return Fold(start, add, order)
