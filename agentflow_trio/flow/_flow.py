"""Flows: a checked graph of steps, which is a node again.

Layer: flow. A flow is compiled once, where it is defined; running hands the plan to the engine.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeAlias, TypeVar, final, overload

import attrs

from .._typing import override
from ..engine import Catch, Kind, Plan, PlanStep, execute, link, way_out
from ..errors import FlowDefinitionError, Problem
from ..state import fork
from ..types import AttrsState, Exit, Next, RunResult
from ._bind import bind_exits
from ._check_core import check, targets_of
from ._inspect import (
    helper_problems,
    name_of,
    source_problems,
    ways_out,
    wiring_problems,
)
from ._node import BuiltIn, Node, overwrite, passed_exit
from ._over import FlowPerItem, over_problems
from ._state_type import declared_problems, state_type
from ._step import Edge, Step, compile_step
from ._words import name_problems

if TYPE_CHECKING:
    from ._item_types import Source

__all__ = ["Flow", "Wiring", "flow"]

State = TypeVar("State", bound=AttrsState)
S = TypeVar("S")
Outer = TypeVar("Outer")
Received = TypeVar("Received")
Exits = ParamSpec("Exits")

Wiring: TypeAlias = Sequence[Edge[S]]
"""What a wiring function returns, as ``Wiring[Article]``: a line for each step, the start first."""


@final
@attrs.frozen(eq=False, kw_only=True)
class Flow(BuiltIn, Generic[State, Exits]):
    """A checked, immutable graph of steps. It has the three phases, so it is itself a node.

    Made with `flow`; a flow that exists is well wired.

    Attributes:
        name: the first segment of every path of its runs.
        exits: the names of its own ways out, in order; empty if it ends with ``END``.
        edges: its lines as written; the first one's step is the start.
        doc: the docstring of the wiring function.
        plan: what it was compiled to.
        ways: the exits that its lines lead to, in the order of ``exits``.
        find_state_type: what ``state_type`` asks.
    """

    edges: tuple[Edge[State], ...] = attrs.field(repr=False)
    doc: str = attrs.field(repr=False)
    plan: Plan[State] = attrs.field(repr=False)
    ways: tuple[Exit, ...] = attrs.field(repr=False)
    find_state_type: Callable[[], type[State]] = attrs.field(repr=False)

    def __copy__(self) -> Flow[State, Exits]:
        return self

    def __deepcopy__(self, memo: object) -> Flow[State, Exits]:
        return self

    @property
    def start(self) -> Step[State, ...]:
        """The step every run begins with."""
        return self.edges[0].source

    @property
    def state_type(self) -> type[State]:
        """The class of its state.

        It is declared with ``@flow(state=...)``, or read from the annotation ``Wiring[...]``,
        which is resolved now, every time.

        Raises:
            StateTypeError: the annotation is missing, cannot be resolved, or is no attrs class.
        """
        return self.find_state_type()

    @property
    @override
    def inner_flow(self) -> Flow[Any, ...]:
        """This flow."""
        return self

    # not async: a coroutine around another is 0.3 KB and 0.02 us for each wait in it
    def run(
        self,
        state: State,
        /,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        seed: int | None = None,
    ) -> Coroutine[object, object, RunResult[State]]:
        """Run this flow to its end, with no observers. Always a checkpoint.

        When it returns or raises, nothing it started is alive.

        Args:
            state: stays as it is; the result has the new one.
            timeout: seconds for the whole run; none by default.
            run_id: a UUID by default.
            seed: for ``current_step().random``; random by default.

        Raises:
            StateTypeError: *state* is not an attrs object.
            StateForkError: a value in it can be neither shared nor copied.
            ResourceError: a step uses a resource; those come from an `Engine`.
            FlowFailedError: everything that failed, in a tree that mirrors the flow.
            FlowAbortedError: failures together with Cancelled, KeyboardInterrupt or SystemExit.
        """
        return execute(self.plan, state, timeout=timeout, run_id=run_id, seed=seed)

    def within(
        self, enter: Callable[[Outer], State], leave: Callable[[Outer, State], object], /
    ) -> Node[Outer, State, RunResult[State], Exits]:
        """Make this flow a node for another type of state: ``Step(editing.within(get, put))``.

        Args:
            enter: a plain function that gives the flow's state, of which a fork is run.
            leave: a plain function that writes what became of it into the outer state.

        Raises:
            FlowDefinitionError: one of them cannot be called so, or is async.
        """
        problems = [
            *helper_problems("enter", enter, arguments=1),
            *helper_problems("leave", leave, arguments=2),
        ]
        _refuse(self.name, problems)
        from ._within import Within  # noqa: PLC0415 - 0.5 ms, likewise

        return Within(name=self.name, exits=self.exits, flow=self, enter=enter, leave=leave)

    @overload
    def over(
        self: Flow[State, []],
        split: Callable[[Outer], Sequence[State]],
        join: Callable[[Outer, Received], object],
        /,
    ) -> FlowPerItem[Outer, Sequence[State], State, Received]: ...
    @overload
    def over(
        self: Flow[State, []],
        split: Callable[[Outer], Source[State]],
        join: Callable[[Outer, Received], object],
        /,
    ) -> FlowPerItem[Outer, Source[State], State, Received]: ...
    def over(
        self: Flow[State, []],
        split: Callable[[Outer], Source[State]],
        join: Callable[[Outer, Received], object],
        /,
    ) -> FlowPerItem[Outer, Any, State, Received]:
        """Make this flow what `each` does with every item: ``each(chapter.over(split, join), concurrent=8)``.

        An item is a state of this flow, of which a fork is run. The flow has no exits; one that
        has goes inside a small flow.

        Args:
            split: a plain function that gives the items of the outer state: a sequence, or with
                ``into`` any iterable, also an asynchronous one.
            join: a plain function that writes into the outer state what the items became: a
                sequence of states in the order of the items, with ``tolerate`` each as
                ``outcome.Value`` or ``outcome.Error``, or the total of ``into``.

        Raises:
            FlowDefinitionError: one of them cannot be called so, or is async, or the flow has
                exits; all at once.
        """
        problems = [
            *source_problems("split", split),
            *helper_problems("join", join, arguments=2),
            *over_problems(self.name, self.exits),
        ]
        _refuse(self.name, problems)
        return FlowPerItem(flow=self, split=split, join=join)

    def replacing(
        self, nodes: Mapping[Step[Any, ...], Node[Any, Any, Any, ...] | Step[Any, ...]], /
    ) -> Flow[State, Exits]:
        """Return a flow with other nodes under the same wiring, names and policies.

        For fakes in tests and variants in production. This flow stays as it is.

        Args:
            nodes: step -> the node to run in its place, also for steps of nested flows, branches,
                and steps of a flow per item. Of a step given as the replacement (``@step``) only the node is taken;
                of a copy of the very step, made by ``with_``, its options.

        Raises:
            FlowDefinitionError: a step is not in this flow; a replacement is no node, has other
                exits, or has no use for the step's fallback. All problems at once.
        """
        from ._replace import replaced  # noqa: PLC0415 - 0.4 ms of import that most programs need not pay

        edges, problems = replaced(self, nodes)
        _refuse(self.name, problems)
        return self.rewired(edges)

    def rewired(self, edges: tuple[Edge[Any], ...]) -> Flow[State, Exits]:
        """Return this flow with other lines, which the caller has checked."""
        return attrs.evolve(self, edges=edges, plan=_compile_plan(self.name, edges))

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        return PlanStep(name=name, kind=Kind.NESTED, inner=self.plan, exits=self.ways)

    async def prep(self, shared: State, /) -> State:
        """Fork the state. Not a checkpoint."""
        return fork(shared)

    async def exec(self, prepared: State, /) -> RunResult[State]:
        """Run on the fork; errors as for `run`. Always a checkpoint."""
        return await self.run(prepared)

    async def post(
        self,
        shared: State,
        _prepared: State,
        result: RunResult[State],
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Next | None:
        """Keep what became of the fork and take the exit the flow took. Not a checkpoint."""
        overwrite(shared, result.state)
        return passed_exit(result.exit, self.exits, args, kwargs)


# ---------------------------------------------------------------- definition


# attrs would take 0.4 ms to make the makers
@final
class _FlowMaker(Generic[State]):
    def __init__(self, name: str | None, state: type[State]) -> None:
        self.name = name
        self.state = state

    def __call__(self, wiring: Callable[Exits, Wiring[State]], /) -> Flow[State, Exits]:
        return _define(wiring, self.name, self.state)


@final
class _NamedFlowMaker:
    def __init__(self, name: str | None) -> None:
        self.name = name

    def __call__(self, wiring: Callable[Exits, Wiring[State]], /) -> Flow[State, Exits]:
        return _define(wiring, self.name, None)


@overload
def flow(wiring: Callable[Exits, Wiring[State]], /) -> Flow[State, Exits]: ...
@overload
def flow(*, name: str | None = None, state: type[State]) -> _FlowMaker[State]: ...
@overload
def flow(*, name: str | None = None) -> _NamedFlowMaker: ...
def flow(
    wiring: Callable[Exits, Wiring[State]] | None = None,
    /,
    *,
    name: str | None = None,
    state: type[State] | None = None,
) -> Flow[State, Exits] | _FlowMaker[State] | _NamedFlowMaker:
    """Make a flow of a wiring function: ``@flow`` or ``@flow(name=..., state=...)``.

    The function's keyword parameters are the flow's exits; it returns one line for each step, the
    start first. It is called once, here; annotations are not evaluated.

    From every step there must be a way out, to an exit or to ``END``. The target of a ``.catch``
    counts: a loop may be left by an error only, as one that reads until its source ends.

    Args:
        wiring: the function.
        name: instead of the function's name.
        state: the class of the state; needed if something reads JSON and the annotation
            ``Wiring[...]`` cannot be resolved (a local class).

    Raises:
        FlowDefinitionError: with every mistake in the wiring.
    """
    if wiring is not None:
        return _define(wiring, name, state)
    return _NamedFlowMaker(name) if state is None else _FlowMaker(name, state)


def _define(
    wiring: Callable[Exits, Wiring[State]], name: str | None, state: type[State] | None
) -> Flow[State, Exits]:
    own = name_of(wiring) if name is None else name
    problems = [*name_problems("a flow", "", own), *declared_problems(state)]
    _refuse(own, [*problems, *wiring_problems(own, wiring)])
    ways = tuple(map(Exit, ways_out(wiring, skip=0)))
    lines = bind_exits(wiring, ways)()
    _refuse(own, check(own, lines, ways))
    edges = tuple(lines)
    return Flow(
        name=own,
        exits=tuple(exit_.name for exit_ in ways),
        edges=edges,
        doc=inspect.getdoc(wiring) or "",
        plan=_compile_plan(own, edges),
        ways=ways,
        find_state_type=functools.partial(state_type, state, own, wiring),
    )


def _refuse(name: object, problems: Sequence[Problem]) -> None:
    if problems:
        raise FlowDefinitionError(name=str(name), problems=tuple(problems))


def _compile_plan(name: str, edges: Sequence[Edge[State]]) -> Plan[State]:
    """Compile checked lines: one plan step each, linked by the exits that come back in a run."""
    places: dict[Next, PlanStep] = {edge.source: compile_step(edge.source) for edge in edges}
    for edge in edges:
        for target in targets_of(edge):
            if isinstance(target, Exit) and target not in places:
                places[target] = way_out(target)
    for edge in edges:
        compiled = places[edge.source]
        keys: dict[str, object] = {exit_.name: exit_ for exit_ in compiled.exits}
        routes = {
            keys.get(name, compiled.only_key): places[target]
            for name, target in edge.targets.items()
        }
        catches = (Catch(each.errors, places[each.target]) for each in edge.catches)
        link(compiled, routes, tuple(catches))
    steps = tuple(places[edge.source] for edge in edges)
    return Plan(name, steps[0], steps)
