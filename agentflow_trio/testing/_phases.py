"""Running a node's three phases alone, outside any flow.

Layer: testing.
"""

from __future__ import annotations

from typing import Generic, TypeVar, final

import attrs

from ..flow import Node, exits_of
from ..types import Exit

__all__ = ["Phases", "phases"]

Shared = TypeVar("Shared")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


@final
@attrs.frozen
class Phases(Generic[Prepared, Result]):
    """What a node did when it was run alone.

    Attributes:
        prepared: what ``prep`` returned.
        result: what ``exec`` returned.
        exit: the name of the exit that ``post`` took; None for a node without exits.
    """

    prepared: Prepared
    result: Result
    exit: str | None


async def phases(node: Node[Shared, Prepared, Result, ...], state: Shared, /) -> Phases[Prepared, Result]:
    """Run *node*'s three phases once on *state*, which ``post`` changes. A checkpoint if the node is one.

    There is no run around it: ``current_step()`` does not work in it.
    """
    exits = {name: Exit(name) for name in exits_of(node)}
    prepared = await node.prep(state)
    result = await node.exec(prepared)
    chosen = await node.post(state, prepared, result, **exits)
    return Phases(prepared, result, chosen.name if isinstance(chosen, Exit) else None)
