"""Steps and edges: a node with a name and policies, and the line that says what follows it.

Layer: flow. Both are values; wiring a step changes neither it nor its node.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, Unpack, final, overload

import attrs
from typing_extensions import override

from ..engine import Kind, Plan, PlanStep, execute, link, way_out
from ..errors import Problem, StepDefinitionError
from ..robustness import Fallback
from ..state import fork
from ..types import END, AttrsState, Exit, Next, RunResult
from ._inspect import bind_exits, is_async, phase_problems, signature_problems, ways_out
from ._node import BuiltIn, Node, exits_of, named_exit, overwrite
from ._policies import Policies, StepOptions, name_problems, option_problems

if TYPE_CHECKING:
    from ._flow import Flow

__all__ = ["Catching", "Edge", "Step", "compile_step", "step"]

Shared = TypeVar("Shared", bound=AttrsState)
State = TypeVar("State")
State_contra = TypeVar("State_contra", contravariant=True)
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")
Exits = ParamSpec("Exits")


@final
@attrs.frozen
class Catching:
    """Part of an edge: these errors lead to that target."""

    errors: tuple[type[Exception], ...]
    target: Next


@final
@attrs.frozen(eq=False)
class Edge(Generic[State_contra]):
    """One line of wiring: a step, where each of its exits leads, and where an error leads.

    Attributes:
        source: the step.
        targets: exit -> target; the key is ``""`` for a step without exits.
        catches: in written order; the first that fits wins.
    """

    source: Step[State_contra, ...]
    targets: Mapping[str, Next]
    catches: tuple[Catching, ...] = ()

    def catch(self, error: type[Exception], /, *more: type[Exception], to: Next) -> Edge[State_contra]:
        """Return this line with an error that the step gave up with leading *to*, like an exit.

        A group of errors is caught only if every one of them fits. Cancellation and the step limit never are.
        The step then leaves no trace in the state, and the target reads the error from ``current_step().caught``.
        """
        return attrs.evolve(self, catches=(*self.catches, Catching((error, *more), to)))


@final
class Step(Next, Generic[State_contra, Exits]):
    """A node placed in flows: it has a name and policies, and ``then`` or ``to`` to say what follows it.

    Attributes:
        node: what it runs.
        name: its segment of paths.
        exits: the names of its ways out, in order.
        policies: how it is run.
    """

    __slots__ = ("exits", "name", "node", "policies")

    node: Node[State_contra, Any, Any, ...]
    name: str
    exits: tuple[str, ...]
    policies: Policies

    def __init__(
        self,
        node: Node[State_contra, Prepared, Result, Exits],
        /,
        *,
        fallback: Fallback[Result] | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        """Place *node*; see `StepOptions` for the other keywords.

        Args:
            node: any object with async ``prep``, ``exec`` and ``post``, or a flow.
            fallback: what stands in for the result of exec when it failed.
            options: the policies.

        Raises:
            StepDefinitionError: the node has not three async phases, or a policy makes no sense; all problems at once.
        """
        name = options.get("name")
        if name is None:
            name = node.name if isinstance(node, BuiltIn) else _snake_case(_class_of(node).__name__)
        policies = attrs.evolve(Policies().with_options(options), fallback=fallback)
        problems = [*name_problems("a step", name), *option_problems(name, options), *policies.problems(name), *_node_problems(name, node, policies)]
        if problems:
            raise StepDefinitionError(name=str(name), problems=tuple(problems))
        _place(self, node, name, exits_of(node), policies)

    @override
    def __setattr__(self, name: str, value: object, /) -> None:
        raise AttributeError(f"a Step is a value; use with_({name}=...) to get a changed copy")

    @override
    def __repr__(self) -> str:
        return f"<Step {self.name!r} of {type(self.node).__name__}>"

    def then(self: Step[State_contra, []], target: Next, /) -> Edge[State_contra]:
        """Say what follows a step without exits: a step, an exit of the flow, or ``END``."""
        return Edge(self, {"": target})

    def to(self, *args: Exits.args, **kwargs: Exits.kwargs) -> Edge[State_contra]:
        """Say where each exit leads: ``review.to(approved=publish, rejected=write)``."""
        targets: dict[str, Any] = {**dict(zip(self.exits, args, strict=False)), **kwargs}
        return Edge(self, targets)

    def with_(self, **options: Unpack[StepOptions]) -> Step[State_contra, Exits]:
        """Return a copy with other options: ``write.with_(name="rewrite", timeout=60.0)``.

        Raises:
            StepDefinitionError: a policy makes no sense.
        """
        name = options.get("name", self.name)
        policies = self.policies.with_options(options)
        problems = [*name_problems("a step", name), *option_problems(name, options), *policies.problems(name)]
        if problems:
            raise StepDefinitionError(name=str(name), problems=tuple(problems))
        copy: Step[State_contra, Exits] = object.__new__(Step)
        _place(copy, self.node, name, self.exits, policies)
        return copy

    def around(self, node: Node[Any, Any, Any, ...]) -> Step[State_contra, Exits]:
        """Return this step with another *node*, whose exits the caller has compared."""
        copy: Step[State_contra, Exits] = object.__new__(Step)
        _place(copy, node, self.name, self.exits, self.policies)
        return copy

    @property
    def flow(self) -> Flow[Any, ...] | None:
        """The flow it runs, if its node is one (or a flow within another state)."""
        return self.node.inner_flow if isinstance(self.node, BuiltIn) else None

    async def run(
        self: Step[Shared, ...], state: Shared, /, *, timeout: float | None = None, run_id: str | None = None, seed: int | None = None
    ) -> RunResult[Shared]:
        """Run this step alone, with the life it has in a flow. Always a checkpoint.

        Args:
            state: stays as it is; the result has the new one.
            timeout: seconds for the whole run.
            run_id: a UUID by default.
            seed: for ``current_step().random``; random by default.

        Raises:
            StateTypeError: *state* is not an attrs object.
            FlowFailedError: whatever failed, with its path.
        """
        compiled = compile_step(self)
        ways: dict[object, PlanStep] = {exit_: way_out(exit_) for exit_ in compiled.exits}
        link(compiled, ways or {compiled.only_key: way_out(END)}, ())
        return await execute(Plan("", compiled, (compiled,)), state, timeout=timeout, run_id=run_id, seed=seed)


def compile_step(step: Step[Any, ...]) -> PlanStep:
    """Make the plan step of *step*, not yet linked to others."""
    node, policies = step.node, step.policies
    if isinstance(node, BuiltIn):
        compiled = node.compile(step.name)
    else:
        exits = tuple(map(Exit, step.exits))
        compiled = PlanStep(
            name=step.name, kind=Kind.PHASES, prep=node.prep, exec=node.exec, post=bind_exits(node.post, exits), exits=exits
        )
    return attrs.evolve(
        compiled,
        timeout=policies.timeout,
        idle_timeout=policies.idle_timeout,
        max_visits=policies.max_visits,
        fallback=policies.fallback,
        uses=policies.uses,
        version=policies.version,
    )


def _place(
    step: Step[State_contra, Exits], node: Node[State_contra, Any, Any, ...], name: str, exits: tuple[str, ...], policies: Policies
) -> None:
    for field, value in (("node", node), ("name", name), ("exits", exits), ("policies", policies)):
        object.__setattr__(step, field, value)


def _class_of(node: object) -> type:
    return node if isinstance(node, type) else type(node)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _node_problems(name: str, node: object, policies: Policies) -> Iterator[Problem]:
    if isinstance(node, BuiltIn):
        if policies.fallback is not None:
            yield Problem("fallback_on_flow", name, "a flow has no result of exec to replace", "route its errors with .catch(...)")
    elif isinstance(node, type):
        yield Problem("node_class", name, f"{node.__name__} is a class, not a node", f"write Step({node.__name__}(...))")
    elif isinstance(node, Step):
        yield Problem("step_of_step", name, f"{node.name!r} is a step already", "use it as it is, or node.with_(name=...)")
    elif Node in type(node).__mro__:
        yield Problem(
            "inherits_node",
            name,
            f"{type(node).__name__} inherits Node, which hides its exits from type checkers",
            "inherit Work[State, Prepared, Result] or nothing",
        )
    else:
        yield from phase_problems(name, node)


# ---------------------------------------------------------------- function steps


@final
@attrs.frozen(eq=False)
class FunctionNode(BuiltIn, Generic[State, Exits]):
    """An async function of the state as a node: it runs on a fork, which is kept when it ends well."""

    function: Callable[Concatenate[State, Exits], Awaitable[Next | None]]
    name: str
    exits: tuple[str, ...]

    @override
    def compile(self, name: str) -> PlanStep:
        exits = tuple(map(Exit, self.exits))
        return PlanStep(name=name, kind=Kind.FUNCTION, exec=bind_exits(self.function, exits), exits=exits)

    async def prep(self, shared: State, /) -> State:
        """Fork the state."""
        return fork(shared)

    async def exec(self, prepared: State, /) -> tuple[State, str | None]:
        """Call the function with the fork; return what became of it and the exit taken."""
        exits = tuple(map(Exit, self.exits))
        chosen: object = await bind_exits(self.function, exits)(prepared)
        return prepared, chosen.name if isinstance(chosen, Exit) else None

    async def post(
        self, shared: State, prepared: State, result: tuple[State, str | None], /, *args: Exits.args, **kwargs: Exits.kwargs
    ) -> Next | None:
        """Keep the fork."""
        overwrite(shared, prepared)
        return named_exit(result[1], kwargs)


@final
@attrs.frozen
class _StepMaker:
    options: StepOptions

    def __call__(self, function: Callable[Concatenate[State, Exits], Awaitable[Next | None]], /) -> Step[State, Exits]:
        return _function_step(function, self.options)


@overload
def step(function: Callable[Concatenate[State, Exits], Awaitable[Next | None]], /) -> Step[State, Exits]: ...
@overload
def step(**options: Unpack[StepOptions]) -> _StepMaker: ...
def step(
    function: Callable[Concatenate[State, Exits], Awaitable[Next | None]] | None = None, /, **options: Unpack[StepOptions]
) -> Step[State, Exits] | _StepMaker:
    """Make a step of an async function of the state and, if it branches, of its exits.

    ``@step`` or ``@step(timeout=3.0)``. The function writes to a fork of the state, which is kept only if it ends well.

    Raises:
        StepDefinitionError: the function is not async, does not take the state, or an option makes no sense.
    """
    return _StepMaker(options) if function is None else _function_step(function, options)


def _function_step(
    function: Callable[Concatenate[State, Exits], Awaitable[Next | None]], options: StepOptions
) -> Step[State, Exits]:
    name = options.get("name") or getattr(function, "__name__", type(function).__name__)
    problems = list(_function_problems(str(name), function))
    if problems:
        raise StepDefinitionError(name=str(name), problems=tuple(problems))
    node = FunctionNode(function, name=str(name), exits=ways_out(function, skip=1))
    return Step(node, **options)


def _function_problems(name: str, function: object) -> Iterator[Problem]:
    if not callable(function):
        yield Problem("not_a_function", name, f"@step takes an async function, not {function!r}")
    elif inspect.isasyncgenfunction(function):
        yield Problem("generator_phase", name, f"{name} is an async generator", "return, do not yield")
    elif not is_async(function):
        yield Problem("sync_phase", name, f"{name} is not async", f"write 'async def {name}'")
    else:
        yield from signature_problems(name, name, function, 1, exits=True)
