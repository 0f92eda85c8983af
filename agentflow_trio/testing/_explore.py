"""Searching for a schedule under which a program fails, making it short, and saying how to see it again.

Layer: testing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, overload

from ..flow import Flow
from ..types import AttrsState, RunResult
from ._code_core import parse
from ._fault_plan import Used
from ._faults import Body, Faults
from ._findings import Exploration
from ._hunt import Hunt
from ._overrides import OVERRIDES
from ._private import Control
from ._program import Program, body_of
from ._search_core import Policy
from ._world import World

__all__ = ["explore"]

T = TypeVar("T")
State = TypeVar("State", bound=AttrsState)

MAX_STEPS: Final = 20_000
"""What an execution may use unless told otherwise."""


@overload
def explore(
    flow: Flow[State, ...],
    state: State,
    /,
    *,
    seeds: int = 100,
    first_seed: int = 0,
    policy: Policy = "portfolio",
    check: Callable[[RunResult[State]], object] | None = None,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 20_000,
    control: Control = "order",
    replay: str | None = None,
) -> Exploration: ...
@overload
def explore(
    program: Program[T],
    /,
    *,
    seeds: int = 100,
    first_seed: int = 0,
    policy: Policy = "portfolio",
    check: Callable[[T], object] | None = None,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 20_000,
    control: Control = "order",
    replay: str | None = None,
) -> Exploration: ...
def explore(  # noqa: PLR0913 - settings, all with a default
    program: Any,
    state: Any = None,
    /,
    *,
    seeds: int = 100,
    first_seed: int = 0,
    policy: Policy = "portfolio",
    check: Callable[[Any], object] | None = None,
    faults: Faults | None = None,
    services: Sequence[str] = (),
    max_steps: int = 20_000,
    control: Control = "order",
    replay: str | None = None,
) -> Exploration:
    """Run a program under many schedules, in virtual time, until one fails; then make that one short.

    Synchronous: it starts Trio itself. A program fails if it raises, if *check* raises, or if it is stuck. Promised: it
    fails no program that works under every order in which each runnable task goes on sooner or later, and with timers
    that are up to a microsecond late.

    Args:
        program: an async function, which may take dice (``random.Random``), or a flow with its state. Called anew for
            each schedule; what it uses must be made in it, or be a guard, which begins anew by itself.
        state: for a flow; every execution gets a fork.
        seeds: how many schedules to try.
        first_seed: the first of their seeds.
        policy: how to search; ``portfolio`` finds most.
        check: looks at what the program returned, and raises if that is wrong.
        faults: what goes wrong besides. What a failure does not need of it is left out of its schedule.
        services: names of tasks that tick for ever; their timers hide no deadlock, nor do those of an engine's observers.
        max_steps: steps after which an execution counts as stuck.
        control: how much of Trio's order to choose, for a Trio that does not obey.
        replay: a code; that schedule is run and no other, and is not made shorter.

    Returns:
        What was found; `Exploration.raise_on_failure` makes it a test.

    Raises:
        ControlError: this Trio does not obey; the error names what works.
        NestedSimulationError: called inside a run of Trio.
        ReplayCodeError: *replay* is no code.
        UnusedFaultError: *faults* names what no execution came to.
        TypeError, ValueError: an argument makes no sense.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, not {seeds}")
    if control == "shuffle":
        policy = "batch"
    body = body_of(program, state)
    used = Used(faults)
    hunt = Hunt(
        functools.partial(
            OVERRIDES.command,
            program,
            check=check,
            faults=faults,
            services=services,
            max_steps=None if max_steps == MAX_STEPS else max_steps,
            control=control,
        ),
        _judged(body, check, used),
        used,
        functools.partial(World, control=control, services=services),
        max_steps,
    )
    code = OVERRIDES.replay or replay
    if code is not None:
        return hunt.replayed(parse(code), code)
    found = hunt.search(policy, OVERRIDES.seeds or seeds, first_seed)
    if not found.failures:
        used.check()
    return found


def _judged(body: Body[T], check: Callable[[T], object] | None, used: Used) -> Body[T]:
    """The program with its faults, and *check* as a part of it."""
    faulty = used.around(body)

    async def judged(seed: int) -> T:
        __tracebackhide__ = True
        result = await faulty(seed)
        if check is not None:
            check(result)
        return result

    return judged
