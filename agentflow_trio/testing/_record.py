"""Recording: a program is run once, and can then be looked at, at any time of it.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

from ..flow import Flow
from ..types import AttrsState
from ._faults import Faults
from ._private import Control
from ._program import Program
from ._recipe import Recipe
from ._timeline import Timeline, recorded

__all__ = ["record"]

State = TypeVar("State", bound=AttrsState)


@overload
def record(
    flow: Flow[State, ...],
    state: State,
    /,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 1_000_000,
    control: Control = "order",
    replay: str | None = None,
) -> Timeline[State]: ...
@overload
def record(
    program: Program[object],
    /,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 1_000_000,
    control: Control = "order",
    replay: str | None = None,
) -> Timeline[None]: ...
def record(
    program: Any,
    state: Any = None,
    /,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 1_000_000,
    control: Control = "order",
    replay: str | None = None,
) -> Timeline[Any]:
    """Run a program to its end in virtual time, and keep what can be seen of it.

    ``timeline = record(flow, state, seed=7); assert timeline.at(12.5).state.drafts == 2``

    Synchronous: it starts Trio itself. The run is the one that `simulate` makes of the same seed. What the program raises
    is not raised here but kept: see `Timeline.error`, and `Timeline.result`, which raises it. Guards begin anew, also
    those that were made outside; what else the program uses, it must make.

    Args:
        program: an async function, which may take dice (``random.Random``), or a flow with its state.
        state: for a flow, which works on a fork of it.
        seed: of everything that is left to chance.
        faults: what fails besides.
        services: names of tasks that tick for ever; their timers hide no deadlock, nor do those of an engine's observers.
        max_steps: steps after which the program counts as stuck; one that serves for ever is given its end by
            `trio.move_on_after`.
        control: how much of Trio's order to choose, for a Trio that does not obey.
        replay: the code of a schedule that `explore` found; *seed* is the code's then.

    Raises:
        ControlError: this Trio does not obey; the error names what works.
        NestedSimulationError: called inside a run of Trio.
        ReplayCodeError: *replay* is no code.
        UnusedFaultError: it ended well, but *faults* names what it never came to.
        TypeError: *program* cannot be recorded.
    """
    recipe = Recipe(
        program=program,
        state=state,
        seed=seed,
        faults=faults,
        replay=replay,
        services=services,
        max_steps=max_steps,
        control=control,
    )
    return recorded(recipe)
