"""Random well-formed flows, what running them must do, and one mistake put into them.

A `FlowSpec` is plain data that shrinks well; `build` makes the flow. Its steps do what the dice in
their state say: `predicted` walks the spec with the same dice, without the engine. When the dice are
used up every step takes the way that leads on to the end, so that each run ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs
from hypothesis import strategies as st

from agentflow_trio import END, Edge, Flow, Next, Step, Wiring, flow, step

__all__ = [
    "Board",
    "BoomError",
    "Dice",
    "FlowSpec",
    "StepSpec",
    "Story",
    "boards",
    "build",
    "flow_specs",
    "predicted",
    "throws",
    "wiring_of",
]

Kind: TypeAlias = Literal["class", "function", "nested"]

KINDS: Final[tuple[Kind, ...]] = ("class", "function", "nested")

EXITS: Final = {0: (), 1: ("go",), 2: ("left", "right"), 3: ("left", "right", "up")}
"""The exits of a class or function step that has so many."""

DOORS: Final = {0: (), 1: ("done",), 2: ("done", "failed"), 3: ("done", "failed", "later")}
"""The exits of a flow that has so many."""

BOOM: Final = 9
"""The throw at which a step raises, if its line catches something."""


class BoomError(Exception):
    """What steps raise; caught where a line catches it, or one of its bases."""


CATCHABLE: Final[tuple[type[Exception], ...]] = (BoomError, Exception)


# ---------------------------------------------------------------- state


@attrs.define(eq=False)
class Dice:
    """Throws, used up one by one; forks of a state throw the same dice, so that no failure takes one back."""

    throws: tuple[int, ...]
    used: int = 0

    def __agentflow_fork__(self) -> Dice:
        return self

    def throw(self) -> int | None:
        """The next throw; None when they are used up."""
        if self.used == len(self.throws):
            return None
        self.used += 1
        return self.throws[self.used - 1]


@attrs.define
class Board:
    """The state: the dice, and who wrote here, in order."""

    dice: Dice
    trail: tuple[str, ...] = ()


# ---------------------------------------------------------------- specs


@attrs.frozen
class StepSpec:
    """One step and its line.

    Attributes:
        routes: exit -> name of a step, of an exit of the flow, or ``END``; the key is "" without exits.
        home: the exit that leads on to the end; a nested flow takes it when the dice are used up.
        catches: class -> target, in written order.
    """

    name: str
    kind: Kind
    routes: Mapping[str, str]
    home: str
    catches: Mapping[type[Exception], str]
    inner: FlowSpec | None = None

    def choice(self, throw: int | None) -> str | None:
        """The exit that *throw* means; None: raise."""
        if throw is None or (throw == BOOM and not self.catches):
            return self.home
        return None if throw == BOOM else list(self.routes)[throw % len(self.routes)]


@attrs.frozen
class FlowSpec:
    """A flow: its exits and its steps, the start first."""

    name: str
    exits: tuple[str, ...]
    steps: tuple[StepSpec, ...]


@attrs.frozen
class Story:
    """What a run must have been: its visits without their numbers, the exit, what is on the board."""

    visits: tuple[str, ...]
    exit: str | None
    trail: tuple[str, ...]


def predicted(spec: FlowSpec, throws: Sequence[int]) -> Story:
    """Walk *spec* with *throws* the way an engine should."""
    visits: list[str] = []
    trail: list[str] = []
    exit_ = _walk(spec, f"{spec.name}/", iter(throws), visits, trail)
    return Story(tuple(visits), exit_, tuple(trail))


def _walk(
    spec: FlowSpec, prefix: str, dice: Iterator[int], visits: list[str], trail: list[str]
) -> str | None:
    steps = {each.name: each for each in spec.steps}
    at = spec.steps[0].name
    while at in steps:
        here = steps[at]
        visits.append(prefix + at)
        if here.inner is not None:
            exit_ = _walk(here.inner, f"{prefix}{at}/", dice, visits, trail)
            at = here.routes[exit_ or ""]
            continue
        chosen = here.choice(next(dice, None))
        if chosen is None:
            at = next(iter(here.catches.values()))
        else:
            trail.append(at)
            at = here.routes[chosen]
    return None if at == "END" else at


# ---------------------------------------------------------------- strategies


throws = st.lists(st.sampled_from([0, 1, 2, BOOM]), max_size=12).map(tuple)
"""What the dice show."""


def boards(of: st.SearchStrategy[tuple[int, ...]] = throws) -> st.SearchStrategy[Board]:
    """States for runs."""
    return of.map(lambda each: Board(Dice(each)))


@st.composite
def flow_specs(
    draw: st.DrawFn, *, name: str = "flow", depth: int = 2, doors: int | None = None
) -> FlowSpec:
    """Well-formed flows of one to five steps: loops, branches, catches, flows in flows up to *depth*.

    *doors*: how many exits, for a flow in a flow, which has at most two steps.
    """
    exits = DOORS[draw(st.integers(0, 3)) if doors is None else doors]
    ends = exits or ("END",)
    count = draw(st.integers(1, 5 if doors is None else 2))
    names = [f"{name}_{index}" for index in range(count)]
    goals = st.sampled_from([*names, *ends])
    steps: list[StepSpec] = []
    for index, each in enumerate(names):
        last = index == count - 1
        # The last step leads to every end; the others to the next one, and anywhere.
        musts = ends if last else (names[index + 1],)
        arity = draw(st.integers(len(musts) if len(musts) > 1 else 0, 3))
        kind: Kind = draw(st.sampled_from(KINDS if depth else KINDS[:2]))
        inner = None
        if kind == "nested":
            inner = draw(flow_specs(name=f"{each}_in", depth=depth - 1, doors=arity))
        keys = (DOORS if kind == "nested" else EXITS)[arity] or ("",)
        targets = [*musts, *(draw(goals) for _ in keys[len(musts) :])]
        order = draw(st.permutations(range(len(keys))))
        if inner is not None:  # its home is the exit that it takes without dice
            home = keys.index(predicted(inner, ()).exit or "")
            order = [home, *(to for to in order if to != home)]
        routes = {keys[to]: target for to, target in zip(order, targets, strict=True)}
        caught = draw(st.lists(st.sampled_from(CATCHABLE), unique=True))
        caught.sort(key=CATCHABLE.index)
        catches = {error: draw(goals) for error in caught}
        ordered = {key: routes[key] for key in keys}
        steps.append(StepSpec(each, kind, ordered, keys[order[0]], catches, inner))
    rest = draw(st.permutations(steps[1:]))
    return FlowSpec(name, exits, (steps[0], *rest))


# ---------------------------------------------------------------- flows


def build(spec: FlowSpec) -> Flow[Board, ...]:
    """Make the flow."""
    return wiring_of(spec, lambda lines, _: lines)


Change: TypeAlias = Callable[[list[Edge[Board]], Mapping[str, Next]], Sequence[Any]]


def wiring_of(spec: FlowSpec, change: Change) -> Flow[Board, ...]:
    """Make the flow of what *change* makes of the right lines, given them and the flow's exits."""

    def lines(**doors: Next) -> Sequence[Any]:
        return change(_lines(spec, doors), doors)

    def none() -> Wiring[Board]:
        return lines()

    def one(*, done: Next) -> Wiring[Board]:
        return lines(done=done)

    def two(*, done: Next, failed: Next) -> Wiring[Board]:
        return lines(done=done, failed=failed)

    def three(*, done: Next, failed: Next, later: Next) -> Wiring[Board]:
        return lines(done=done, failed=failed, later=later)

    wirings: list[Callable[..., Wiring[Board]]] = [none, one, two, three]
    return flow(name=spec.name, state=Board)(wirings[len(spec.exits)])


def _lines(spec: FlowSpec, doors: Mapping[str, Next]) -> list[Edge[Board]]:
    places: dict[str, Any] = {each.name: _step(each) for each in spec.steps}
    places |= doors
    places["END"] = END
    made: list[Edge[Board]] = []
    for each in spec.steps:
        targets = {name: places[target] for name, target in each.routes.items()}
        source = places[each.name]
        edge = source.then(targets[""]) if "" in targets else source.to(**targets)
        for error, target in each.catches.items():
            edge = edge.catch(error, to=places[target])
        made.append(edge)
    return made


def _step(spec: StepSpec) -> Step[Board, ...]:
    if spec.inner is not None:
        return Step(build(spec.inner), name=spec.name)
    arity = len([name for name in spec.routes if name])
    if spec.kind == "class":
        return Step(_NODES[arity](spec), name=spec.name)
    return step(name=spec.name)(_function(spec, arity))


def _decide(spec: StepSpec, board: Board) -> str:
    """Write to the board, throw, and name the exit, or raise: whoever raises must leave no trace."""
    board.trail = (*board.trail, spec.name)
    chosen = spec.choice(board.dice.throw())
    if chosen is None:
        raise BoomError(spec.name)
    return chosen


def _function(spec: StepSpec, arity: int) -> Callable[..., Awaitable[Next | None]]:
    async def none(board: Board) -> None:
        _decide(spec, board)

    async def one(board: Board, *, go: Next) -> Next:
        return {"go": go}[_decide(spec, board)]

    async def two(board: Board, *, left: Next, right: Next) -> Next:
        return {"left": left, "right": right}[_decide(spec, board)]

    async def three(board: Board, *, left: Next, right: Next, up: Next) -> Next:
        return {"left": left, "right": right, "up": up}[_decide(spec, board)]

    return (none, one, two, three)[arity]


@attrs.frozen
class _Class:
    spec: StepSpec

    async def prep(self, shared: Board) -> Board:
        return shared

    async def exec(self, board: Board) -> str:
        return self.spec.name


class _None(_Class):
    async def post(self, shared: Board, prepared: Board, result: str) -> None:
        _decide(self.spec, shared)


class _One(_Class):
    async def post(self, shared: Board, prepared: Board, result: str, *, go: Next) -> Next:
        return {"go": go}[_decide(self.spec, shared)]


class _Two(_Class):
    async def post(
        self, shared: Board, prepared: Board, result: str, *, left: Next, right: Next
    ) -> Next:
        return {"left": left, "right": right}[_decide(self.spec, shared)]


class _Three(_Class):
    async def post(
        self, shared: Board, prepared: Board, result: str, *, left: Next, right: Next, up: Next
    ) -> Next:
        return {"left": left, "right": right, "up": up}[_decide(self.spec, shared)]


_NODES: Final[tuple[Callable[[StepSpec], Any], ...]] = (_None, _One, _Two, _Three)
