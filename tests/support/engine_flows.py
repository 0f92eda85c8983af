"""Random flows for the engine: steps with policies that fail in any phase; `engine_interpreter` says what their runs must tell.

What a visit does is on a tape that all steps share, outside the state, so that a failed step does not take it back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs
import trio
from hypothesis import strategies as st

from agentflow_trio import (
    END,
    Edge,
    Fallback,
    Flow,
    Next,
    Step,
    Wiring,
    current_step,
    flow,
    step,
)

__all__ = [
    "FlowPlan",
    "Ledger",
    "Log",
    "Move",
    "Place",
    "StepPlan",
    "assemble",
    "engine_flows",
    "tapes",
]

Kind: TypeAlias = Literal["class", "function", "nested"]
Place: TypeAlias = Literal["prep", "exec", "post", "cleanup", "exec and cleanup"]

EXITS: Final = ("left", "right", "up")
WAYS: Final = ("good", "bad")


class WideError(Exception):
    """Caught as itself."""


class NarrowError(WideError):
    """Caught as itself or as `WideError`."""


class OtherError(Exception):
    """Caught as `Exception` only."""


ERRORS: Final[tuple[type[Exception], ...]] = (WideError, NarrowError, OtherError)
CATCHABLE: Final[tuple[type[Exception], ...]] = (NarrowError, WideError, Exception)


@attrs.define
class Log:
    """The state: who wrote, in order."""

    words: list[str] = attrs.field(factory=list[str])


@attrs.frozen
class Move:
    """What one visit does.

    Attributes:
        fails: where it raises; None: nowhere.
        error: what it raises.
        exit: which of its exits it takes, modulo their number.
        waits: whether its phases are checkpoints.
    """

    fails: Place | None
    error: type[Exception]
    exit: int
    waits: bool


@attrs.frozen
class StepPlan:
    """One step and its line. Targets are names of steps, of exits of the flow, or ``END``."""

    name: str
    kind: Kind
    exits: tuple[str, ...]
    targets: tuple[str, ...]
    catches: tuple[tuple[type[Exception], str], ...]
    timed: bool
    max_visits: int | None
    fallback: type[Exception] | None
    cleans: bool
    inner: FlowPlan | None = None


@attrs.frozen
class FlowPlan:
    """A flow: its exits and its steps, the start first."""

    name: str
    ways: tuple[str, ...]
    steps: tuple[StepPlan, ...]


# ---------------------------------------------------------------- strategies


@st.composite
def engine_flows(draw: st.DrawFn, name: str = "f", depth: int = 2) -> FlowPlan:
    """Well-formed flows: a tree of routes reaches every step and every way out; the other routes go anywhere."""
    count = draw(st.integers(1, 4 if depth == 2 else 2))
    names = [f"{name}{index}" for index in range(count)]
    parents = [draw(st.integers(0, index - 1)) for index in range(1, count)]
    children = {
        index: [child + 1 for child, parent in enumerate(parents) if parent == index]
        for index in range(count)
    }
    leaves = [index for index in range(count) if not children[index]]
    ways = WAYS[: min(len(leaves), draw(st.integers(0, 2)))]
    ends = ways or ("END",)
    anywhere = st.sampled_from([*names, *ends])
    steps: list[StepPlan] = []
    for index in range(count):
        musts = [names[child] for child in children[index]]
        if not musts:
            musts = [ends[leaves.index(index) % len(ends)]]
        extra = draw(st.integers(0, max(0, 2 - len(musts))))
        targets = (*musts, *(draw(anywhere) for _ in range(extra)))
        steps.append(draw(_steps(names[index], targets, anywhere, depth)))
    return FlowPlan(name, ways, tuple(steps))


@st.composite
def _steps(
    draw: st.DrawFn,
    name: str,
    targets: tuple[str, ...],
    anywhere: st.SearchStrategy[str],
    depth: int,
) -> StepPlan:
    kinds: list[Kind] = ["class", "function", "nested"]
    kind = draw(st.sampled_from(kinds if depth else kinds[:2]))
    exits = EXITS[: len(targets)] if len(targets) > 1 or draw(st.booleans()) else ()
    caught = [error for error in CATCHABLE if draw(st.booleans())]
    inner, missed = None, list[str]()
    if kind == "nested":
        inner = draw(engine_flows(f"{name}_", depth - 1))
        exits = inner.ways
        # where it has too few ways out, its errors lead
        routed = max(1, len(exits))
        missed = [*targets[routed:]]
        targets = (*targets, *targets)[:routed]
        caught = caught if len(caught) >= len(missed) else [*CATCHABLE]
    catches = tuple((error, missed.pop() if missed else draw(anywhere)) for error in caught)
    return StepPlan(
        name=name,
        kind=kind,
        exits=exits,
        targets=targets,
        catches=catches,
        timed=draw(st.booleans()),
        max_visits=draw(st.sampled_from([None, None, 1, 2])),
        fallback=draw(st.sampled_from([None, WideError, Exception]))
        if kind == "class"
        else None,
        cleans=kind != "nested" and draw(st.booleans()),
        inner=inner,
    )


_PLACES: Final[list[Place | None]] = [
    None,
    None,
    None,
    None,
    "prep",
    "exec",
    "post",
    "cleanup",
    "exec and cleanup",
]

tapes: Final = st.lists(
    st.builds(
        Move,
        fails=st.sampled_from(_PLACES),
        error=st.sampled_from(ERRORS),
        exit=st.integers(0, 2),
        waits=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)
"""What the visits of a run do, over and over."""


# ---------------------------------------------------------------- flows


@attrs.define
class Ledger:
    """What one run consumes and leaves: the tape, and everything that was opened and closed."""

    tape: Sequence[Move]
    at: int = 0
    opened: list[str] = attrs.field(factory=list[str])
    closed: list[str] = attrs.field(factory=list[str])

    def next_move(self) -> tuple[int, Move]:
        """The number of the move, which is in the text of its errors, and the move."""
        self.at += 1
        return self.at, self.tape[(self.at - 1) % len(self.tape)]


Read: TypeAlias = Callable[[], Ledger]


def assemble(plan: FlowPlan, ledger: Read) -> Flow[Log, ...]:
    """Make the flow; its steps do what the tape of *ledger* says."""

    def lines(ways: Mapping[str, Next]) -> Wiring[Log]:
        places: dict[str, Any] = {each.name: _place(each, ledger) for each in plan.steps}
        places |= {"END": END, **ways}
        made: list[Edge[Log]] = []
        for each in plan.steps:
            source, targets = places[each.name], [places[target] for target in each.targets]
            edge = (
                source.to(**dict(zip(each.exits, targets, strict=True)))
                if each.exits
                else source.then(targets[0])
            )
            for error, target in each.catches:
                edge = edge.catch(error, to=places[target])
            made.append(edge)
        return made

    def none() -> Wiring[Log]:
        return lines({})

    def one(*, good: Next) -> Wiring[Log]:
        return lines({"good": good})

    def two(*, good: Next, bad: Next) -> Wiring[Log]:
        return lines({"good": good, "bad": bad})

    wirings: list[Callable[..., Wiring[Log]]] = [none, one, two]
    return flow(name=plan.name, state=Log)(wirings[len(plan.ways)])


def _place(plan: StepPlan, ledger: Read) -> Step[Log, ...]:
    options: dict[str, Any] = {"name": plan.name, "max_visits": plan.max_visits}
    if plan.timed:
        options["timeout"] = 1000.0
    if plan.inner is not None:
        return Step(assemble(plan.inner, ledger), **options)
    if plan.kind == "function":
        return step(**options)(_function(plan, ledger))
    if plan.fallback is not None:
        options["fallback"] = Fallback("fallback", on=(plan.fallback,))
    return Step(_NODES[len(plan.exits)](plan, ledger), **options)


def _fail(serial: int, move: Move, *places: Place) -> None:
    if move.fails in places:
        raise move.error(f"{serial} {move.fails}")


async def _work(plan: StepPlan, ledger: Ledger, serial: int, move: Move) -> None:
    """The middle of a visit: opens something perhaps, waits perhaps, fails perhaps."""
    if plan.cleans:
        token = f"{plan.name} {serial}"

        async def clean() -> None:
            ledger.closed.append(token)
            if move.waits:
                await trio.lowlevel.checkpoint()
            _fail(serial, move, "cleanup", "exec and cleanup")

        ledger.opened.append(token)
        current_step().on_cleanup(clean)
    if move.waits:
        await trio.lowlevel.checkpoint()
    _fail(serial, move, "exec", "exec and cleanup")


def _function(plan: StepPlan, ledger: Read) -> Callable[..., Awaitable[Next | None]]:
    async def act(log: Log, exits: tuple[Next, ...]) -> Next | None:
        serial, move = ledger().next_move()
        log.words.append(f"{plan.name} {serial}")
        _fail(serial, move, "prep", "post")
        await _work(plan, ledger(), serial, move)
        return exits[move.exit % len(exits)] if exits else None

    async def none(log: Log) -> None:
        await act(log, ())

    async def one(log: Log, *, left: Next) -> Next | None:
        return await act(log, (left,))

    async def two(log: Log, *, left: Next, right: Next) -> Next | None:
        return await act(log, (left, right))

    async def three(log: Log, *, left: Next, right: Next, up: Next) -> Next | None:
        return await act(log, (left, right, up))

    return (none, one, two, three)[len(plan.exits)]


Turn: TypeAlias = tuple[int, Move]


@attrs.frozen
class _Node:
    plan: StepPlan
    ledger: Read

    async def prep(self, shared: Log) -> Turn:
        serial, move = self.ledger().next_move()
        shared.words.append(f"{self.plan.name} {serial} prep")
        if move.waits:
            await trio.lowlevel.checkpoint()
        _fail(serial, move, "prep")
        return serial, move

    async def exec(self, prepared: Turn) -> str:
        await _work(self.plan, self.ledger(), *prepared)
        return "result"

    async def finish(
        self, shared: Log, prepared: Turn, result: str, exits: tuple[Next, ...]
    ) -> Next | None:
        serial, move = prepared
        shared.words.append(f"{self.plan.name} {serial} {result}")
        if move.waits:
            await trio.lowlevel.checkpoint()
        _fail(serial, move, "post")
        return exits[move.exit % len(exits)] if exits else None


class _None(_Node):
    async def post(self, shared: Log, prepared: Turn, result: str) -> None:
        await self.finish(shared, prepared, result, ())


class _One(_Node):
    async def post(
        self, shared: Log, prepared: Turn, result: str, *, left: Next
    ) -> Next | None:
        return await self.finish(shared, prepared, result, (left,))


class _Two(_Node):
    async def post(
        self, shared: Log, prepared: Turn, result: str, *, left: Next, right: Next
    ) -> Next | None:
        return await self.finish(shared, prepared, result, (left, right))


class _Three(_Node):
    async def post(
        self, shared: Log, prepared: Turn, result: str, *, left: Next, right: Next, up: Next
    ) -> Next | None:
        return await self.finish(shared, prepared, result, (left, right, up))


_NODES: Final[tuple[Callable[[StepPlan, Read], Any], ...]] = (_None, _One, _Two, _Three)
