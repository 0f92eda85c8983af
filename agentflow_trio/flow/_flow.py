"""Flows: a checked graph of steps, which is a node again.

Layer: flow. A flow is compiled once, where it is defined; running hands the plan down to the engine.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, final, overload

import attrs
from typing_extensions import override

from ..engine import Catch, Kind, Plan, PlanStep, execute, link, way_out
from ..errors import FlowDefinitionError, Problem, StateTypeError
from ..state import fork
from ..types import END, AttrsState, Exit, Next, RunResult
from ._check_core import check
from ._inspect import bind_exits, ways_out, wiring_problems
from ._node import BuiltIn, Node, named_exit, overwrite
from ._replace import replaced
from ._step import Edge, Step, compile_step

__all__ = ["Flow", "Wiring", "flow"]

State = TypeVar("State", bound=AttrsState)
S = TypeVar("S")
Outer = TypeVar("Outer")
Exits = ParamSpec("Exits")

Wiring: TypeAlias = Sequence[Edge[S]]
"""What a wiring function returns: one line for each step, the start first."""


@final
@attrs.frozen(eq=False, kw_only=True)
class Flow(BuiltIn, Generic[State, Exits]):
    """A checked, immutable graph of steps. It has the three phases, so it is itself a node.

    Attributes:
        name: the first segment of every path of its runs.
        edges: its lines as written; the first one's step is the start.
        exits: the names of its own ways out; empty if it ends with ``END``.
        doc: the docstring of the wiring function.
        plan: what it was compiled to.
    """

    name: str
    edges: tuple[Edge[State], ...] = attrs.field(repr=False)
    exits: tuple[str, ...]
    doc: str = attrs.field(repr=False)
    plan: Plan[State] = attrs.field(repr=False)
    _declared: type[State] | None = attrs.field(repr=False)
    _wiring: Callable[..., object] = attrs.field(repr=False)

    @property
    def start(self) -> Step[State, ...]:
        """The step every run begins with."""
        return self.edges[0].source

    @property
    def state_type(self) -> type[State]:
        """The class of its state: declared with ``@flow(state=...)``, or the annotation ``Wiring[...]``, resolved now.

        Raises:
            StateTypeError: the annotation cannot be resolved, or is no attrs class.
        """
        return self._declared if self._declared is not None else _annotated_state(self.name, self._wiring)

    @property
    @override
    def inner_flow(self) -> Flow[Any, ...]:
        return self

    async def run(
        self, state: State, /, *, timeout: float | None = None, run_id: str | None = None, seed: int | None = None
    ) -> RunResult[State]:
        """Run this flow to its end, with no observers. Always a checkpoint; when it returns, nothing it started is alive.

        Args:
            state: stays as it is; the result has the new one.
            timeout: seconds for the whole run; none by default.
            run_id: a UUID by default.
            seed: for ``current_step().random``; random by default.

        Raises:
            StateTypeError: *state* is not an attrs object.
            ResourceError: a step uses a resource; those come from an `Engine`.
            FlowFailedError: everything that failed, in a tree that mirrors the flow.
            FlowAbortedError: failures together with Cancelled, KeyboardInterrupt or SystemExit.
        """
        return await execute(self.plan, state, timeout=timeout, run_id=run_id, seed=seed)

    def within(
        self, enter: Callable[[Outer], State], leave: Callable[[Outer, State], object], /
    ) -> Node[Outer, State, RunResult[State], Exits]:
        """Make this flow a node for a state of another type.

        Args:
            enter: gives the flow's state, of which a fork is run.
            leave: writes what became of it into the outer state.
        """
        return Within(self, enter, leave)

    def replacing(self, nodes: Mapping[Step[Any, ...], Node[Any, Any, Any, ...] | Step[Any, ...]], /) -> Flow[State, Exits]:
        """Return a flow with other nodes under the same wiring, names and policies: fakes in tests, variants in production.

        Args:
            nodes: step -> the node to run in its place, also for steps of nested flows. A function step
                (``@step``) may be given as the replacement too; its function is what runs.

        Raises:
            FlowDefinitionError: a step is not in this flow, or its replacement has other exits.
        """
        edges, problems = replaced(self, nodes)
        if problems:
            raise FlowDefinitionError(name=self.name, problems=problems)
        return self.rewired(edges)

    def rewired(self, edges: tuple[Edge[Any], ...]) -> Flow[State, Exits]:
        """Return this flow with other lines, which the caller has checked."""
        return attrs.evolve(self, edges=edges, plan=compile_plan(self.name, edges))

    @override
    def compile(self, name: str) -> PlanStep:
        return PlanStep(name=name, kind=Kind.NESTED, inner=self.plan, exits=own_exits(self.edges, self.exits))

    async def prep(self, shared: State, /) -> State:
        """Fork the state."""
        return fork(shared)

    async def exec(self, prepared: State, /) -> RunResult[State]:
        """Run on the fork."""
        return await self.run(prepared)

    async def post(
        self, shared: State, prepared: State, result: RunResult[State], /, *args: Exits.args, **kwargs: Exits.kwargs
    ) -> Next | None:
        """Keep what became of the fork and take the exit the flow took."""
        overwrite(shared, result.state)
        return named_exit(result.exit, kwargs)


@final
@attrs.frozen(eq=False)
class Within(BuiltIn, Generic[Outer, State, Exits]):
    """A flow as a node for a state of another type."""

    inner_flow: Flow[State, Exits]
    enter: Callable[[Outer], State]
    leave: Callable[[Outer, State], object]

    @property
    @override
    def name(self) -> str:
        return self.inner_flow.name

    @property
    @override
    def exits(self) -> tuple[str, ...]:
        return self.inner_flow.exits

    @override
    def around(self, flow: Flow[Any, ...]) -> Node[Any, Any, Any, ...]:
        return Within(flow, self.enter, self.leave)

    @override
    def compile(self, name: str) -> PlanStep:
        return attrs.evolve(self.inner_flow.compile(name), enter=self.enter, leave=self.leave)

    async def prep(self, shared: Outer, /) -> State:
        """Fork the inner state."""
        return fork(self.enter(shared))

    async def exec(self, prepared: State, /) -> RunResult[State]:
        """Run the flow on the fork."""
        return await self.inner_flow.run(prepared)

    async def post(
        self, shared: Outer, prepared: State, result: RunResult[State], /, *args: Exits.args, **kwargs: Exits.kwargs
    ) -> Next | None:
        """Write what became of it into the outer state and take the exit the flow took."""
        self.leave(shared, result.state)
        return named_exit(result.exit, kwargs)


# ---------------------------------------------------------------- definition


@final
@attrs.frozen
class _FlowMaker(Generic[State]):
    name: str | None
    state: type[State]

    def __call__(self, wiring: Callable[Exits, Wiring[State]], /) -> Flow[State, Exits]:
        return _define(wiring, self.name, self.state)


@final
@attrs.frozen
class _NamedFlowMaker:
    name: str | None

    def __call__(self, wiring: Callable[Exits, Wiring[State]], /) -> Flow[State, Exits]:
        return _define(wiring, self.name, None)


@overload
def flow(wiring: Callable[Exits, Wiring[State]], /) -> Flow[State, Exits]: ...
@overload
def flow(*, name: str | None = None, state: type[State]) -> _FlowMaker[State]: ...
@overload
def flow(*, name: str | None = None) -> _NamedFlowMaker: ...
def flow(
    wiring: Callable[Exits, Wiring[State]] | None = None, /, *, name: str | None = None, state: type[State] | None = None
) -> Flow[State, Exits] | _FlowMaker[State] | _NamedFlowMaker:
    """Make a flow of a wiring function: its keyword parameters are the flow's exits, it returns one line for each step.

    ``@flow`` or ``@flow(name=..., state=...)``. The function is called once, here; annotations are not evaluated.

    Args:
        wiring: the function.
        name: instead of the function's name.
        state: the class of the state, if the annotation cannot be resolved where it is needed (JSON input).

    Raises:
        FlowDefinitionError: with every mistake in the wiring.
    """
    if wiring is not None:
        return _define(wiring, name, state)
    return _NamedFlowMaker(name) if state is None else _FlowMaker(name, state)


def _define(wiring: Callable[Exits, Wiring[State]], name: str | None, state: type[State] | None) -> Flow[State, Exits]:
    own = str(name or getattr(wiring, "__name__", type(wiring).__name__))
    problems = list(wiring_problems(own, wiring))
    if problems:
        raise FlowDefinitionError(name=own, problems=tuple(problems))
    exits = tuple(map(Exit, ways_out(wiring, skip=0)))
    lines: object = bind_exits(wiring, exits)()
    problems = check(own, lines, exits)
    if problems or not isinstance(lines, Sequence):
        raise FlowDefinitionError(name=own, problems=tuple(problems))
    edges: tuple[Edge[State], ...] = tuple(lines)
    return Flow(
        name=own,
        edges=edges,
        exits=tuple(exit_.name for exit_ in exits),
        doc=getattr(wiring, "__doc__", None) or "",
        plan=compile_plan(own, edges),
        declared=state,
        wiring=wiring,
    )


def _annotated_state(name: str, wiring: Callable[..., object]) -> Any:
    try:
        lines = typing.get_type_hints(wiring).get("return")
        (edge,) = typing.get_args(lines)
        (state,) = typing.get_args(edge)
    except (NameError, TypeError, ValueError, AttributeError) as error:
        raise StateTypeError(
            got=f"what flow {name!r} is annotated with ({error})", remedy=f"write @flow(state=...) on {name!r}"
        ) from error
    if not (isinstance(state, type) and attrs.has(state)):
        raise StateTypeError(got=f"{state!r}, which flow {name!r} is annotated with")
    return state


def own_exits(edges: Sequence[Edge[Any]], names: Sequence[str]) -> tuple[Exit, ...]:
    """The exit objects of a flow, in the order of *names*: they are made once and found in its lines."""
    found = {target.name: target for edge in edges for target in _targets(edge) if isinstance(target, Exit) and target is not END}
    return tuple(found[name] for name in names)


def _targets(edge: Edge[Any]) -> tuple[Next, ...]:
    return (*edge.targets.values(), *(catching.target for catching in edge.catches))


def compile_plan(name: str, edges: Sequence[Edge[Any]]) -> Plan[Any]:
    """Compile checked lines: one plan step for each, linked by the exit objects that come back at run time."""
    steps = {edge.source: compile_step(edge.source) for edge in edges}
    places: dict[Next, PlanStep] = {step: compiled for step, compiled in steps.items()}  # noqa: C416 - a dict of other keys
    places.update({target: way_out(target) for edge in edges for target in _targets(edge) if isinstance(target, Exit)})
    for edge in edges:
        compiled = steps[edge.source]
        keys: dict[str, object] = {exit_.name: exit_ for exit_ in compiled.exits}
        routes = {keys.get(name, compiled.only_key): places[target] for name, target in edge.targets.items()}
        catches = tuple(Catch(catching.errors, places[catching.target]) for catching in edge.catches)
        link(compiled, routes, catches)
    return Plan(name, steps[edges[0].source], tuple(steps.values()))
