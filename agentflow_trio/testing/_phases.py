"""Running a node's three phases alone, outside any flow.

Layer: testing.
"""

from __future__ import annotations

from typing import Generic, TypeVar, final

import attrs

from ..errors import WrongExitError
from ..flow import Node, Step
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


async def phases(
    node: Node[Shared, Prepared, Result, ...], state: Shared, /
) -> Phases[Prepared, Result]:
    """Run *node*'s three phases once on *state*, which ``post`` changes.

    There is no run around it: ``current_step()`` does not work in it. For a step, give
    ``step.node``. A checkpoint if the node is one.

    Raises:
        StepDefinitionError: *node* could not be placed in a flow either.
        WrongExitError: ``post`` did not return one of its exits.
    """
    step = Step(node)
    exits = {name: Exit(name) for name in step.exits}
    prepared = await node.prep(state)
    result = await node.exec(prepared)
    chosen: object = await node.post(state, prepared, result, **exits)
    taken = next((name for name, exit_ in exits.items() if exit_ is chosen), None)
    if taken is None and (exits or chosen is not None):
        raise WrongExitError(step=step.name, returned=repr(chosen), exits=step.exits)
    return Phases(prepared, result, taken)
