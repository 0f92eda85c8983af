"""Steps and edges: a node with a name and policies, and the line that says what follows it.

Layer: flow. Both are values; wiring a step changes neither it nor its node.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Never,
    NoReturn,
    ParamSpec,
    TypeVar,
    Unpack,
    final,
)

import attrs

from .._typing import override
from ..engine import Kind, Plan, PlanStep, execute, link, way_out
from ..errors import Problem, StepDefinitionError
from ..types import END, Exit, Next, RunResult
from ._bind import bind_exits
from ._inspect import helper_problems, phase_problems
from ._node import BuiltIn, Node, exits_of
from ._over import is_per_item
from ._policies import (
    Policies,
    StepOptions,
    combination_problems,
    option_problems,
    trying_of,
)
from ._words import name_problems, snake_case

if TYPE_CHECKING:
    from ..robustness import Fallback
    from ._flow import Flow

__all__ = [
    "Catching",
    "Edge",
    "Step",
    "compile_step",
    "node_name",
    "node_problems",
    "refuse",
    "with_node",
]

Shared = TypeVar("Shared")
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

    Made with ``step.then(...)`` or ``step.to(...)``; the flow it is written in checks it.

    Attributes:
        source: the step.
        targets: exit -> target, as written; the key is ``""`` for a step without exits.
        catches: in written order; the first that fits wins.
    """

    source: Step[State_contra, ...]
    targets: Mapping[str, Next]
    catches: tuple[Catching, ...] = ()

    def catch(
        self, error: type[Exception], /, *more: type[Exception], to: Next
    ) -> Edge[State_contra]:
        """Return this line with errors that the step gave up with leading *to*, like an exit.

        A subclass of a named error is caught too; a group only if every error in it is;
        cancellation and the step limit never. The step then leaves no trace in the state, and
        the target reads the error from ``current_step().caught``. The flow reports mistakes: what
        is no class of Exception, and a catch that an earlier one of this line leaves nothing to.
        """
        return attrs.evolve(self, catches=(*self.catches, Catching((error, *more), to)))


@final
class Step(Next, Generic[State_contra, Exits]):
    """A node placed in flows: with a name, policies, and ``then`` or ``to`` for what follows.

    An immutable value. Two steps are the same only if they are one object, so the copy that
    `with_` returns is another step, with a line of its own.

    Attributes:
        node: what it runs.
        name: its segment of paths.
        exits: the names of its ways out, in order.
        policies: how it is run.
        condition: says of the state whether it runs, as a branch of `parallel` or `race`.
        origin: the step that ``replacing`` knows it as: the one that it was made of by ``when`` or
            takes the place of; None for any other.
    """

    __slots__ = ("_plan", "condition", "exits", "name", "node", "origin", "policies")

    node: Node[State_contra, Any, Any, ...]
    name: str
    exits: tuple[str, ...]
    policies: Policies
    condition: Callable[[Any], bool] | None
    origin: Step[State_contra, ...] | None
    _plan: Plan[State_contra] | None

    def __init__(
        self,
        node: Node[State_contra, Prepared, Result, Exits],
        /,
        *,
        fallback: Fallback[Result] | None = None,
        **options: Unpack[StepOptions],
    ) -> None:
        """Place *node*.

        Args:
            node: any object with async ``prep``, ``exec`` and ``post``, or a flow.
            fallback: what stands in for the result of exec when it failed; none by default.
            options: the name, by default the class in snake_case or the flow's name, and the
                policies ``timeout``, ``attempt_timeout``, ``idle_timeout``, ``retry``, ``hedge``,
                ``guards``, ``max_visits``, ``uses``, ``version``; by default none of them. Around
                exec, the outermost first: timeout, retry, hedge, guards as given, attempt_timeout.

        Raises:
            StepDefinitionError: the node has not three async phases, an option does not exist
                or makes no sense, or the name cannot stand in a path; all at once.
        """
        name = options.get("name", node_name(node))
        given = {**options, "fallback": fallback}
        refuse(
            name,
            name_problems("a step", str(name), name),
            option_problems(name, given, fallback=True),
            node_problems(name, node, fallback, options.get("hedge")),
        )
        policies = attrs.evolve(Policies().with_options(options), fallback=fallback)
        refuse(name, combination_problems(name, policies))
        _place(self, node, name, exits_of(node), policies)

    @override
    def __setattr__(self, name: str, value: Never, /) -> None:
        _refuse_change()

    @override
    def __delattr__(self, name: str, /) -> None:
        _refuse_change()

    @override
    def __repr__(self) -> str:
        return f"<Step {self.name!r} of {type(self.node).__name__}>"

    def __copy__(self) -> Step[State_contra, Exits]:
        return self

    def __deepcopy__(self, memo: object) -> Step[State_contra, Exits]:
        return self

    def then(self: Step[State_contra, []], target: Next, /) -> Edge[State_contra]:
        """Say what follows a step without exits: a step, an exit of the flow, or ``END``.

        Mistakes are reported by the flow that the line is written in.
        """
        return Edge(self, {"": target})

    def to(self, /, *args: Exits.args, **kwargs: Exits.kwargs) -> Edge[State_contra]:
        """Say where each exit leads: ``review.to(approved=publish, rejected=write)``.

        A missing or misspelt exit is reported by the flow that the line is written in.

        Raises:
            StepDefinitionError: an exit has two targets, or there are more targets than exits.
        """
        routed = dict(zip(self.exits, args, strict=False))
        refuse(self.name, _surplus_problems(self.name, self.exits, args, kwargs))
        targets: dict[str, Any] = {**routed, **kwargs}
        return Edge(self, targets)

    def with_(self, **options: Unpack[StepOptions]) -> Step[State_contra, Exits]:
        """Return a copy with other options: ``write.with_(name="rewrite", timeout=60.0)``.

        ``fallback`` is not among them: a step no longer knows the type of its exec's result, so
        no checker could compare the two. Write ``Step(node, fallback=...)`` instead.

        Raises:
            StepDefinitionError: an option does not exist or makes no sense; all at once.
        """
        name = options.get("name", self.name)
        refuse(
            name,
            name_problems("a step", str(name), name),
            option_problems(name, {**options}),
            hedge_problems(name, self.node, options.get("hedge")),
        )
        copy: Step[State_contra, Exits] = object.__new__(type(self))
        policies = self.policies.with_options(options)
        refuse(name, combination_problems(name, policies))
        _place(copy, self.node, name, self.exits, policies, condition=self.condition)
        return copy

    def when(self, predicate: Callable[[State_contra], bool], /) -> Step[State_contra, Exits]:
        """Return a copy that, as a branch of `parallel` or `race`, runs only if *predicate* says so.

        Of a step that is no branch, the flow reports it: there an exit decides. `run` does not ask.

        Args:
            predicate: a plain function of the state, which it leaves as it is; called once per
                visit, before any branch begins.

        Raises:
            StepDefinitionError: it cannot be called with the state, or is async.
        """
        refuse(self.name, helper_problems("when", predicate, step=self.name, arguments=1))
        copy: Step[State_contra, Exits] = object.__new__(type(self))
        _place(
            copy,
            self.node,
            self.name,
            self.exits,
            self.policies,
            condition=predicate,
            origin=self.origin or self,
        )
        return copy

    @property
    def flow(self) -> Flow[Any, ...] | None:
        """The flow it runs, if its node is one (within another state, or for every item)."""
        return self.node.inner_flow if isinstance(self.node, BuiltIn) else None

    @property
    def branches(self) -> tuple[Step[Any, ...], ...]:
        """The steps it runs at once, if its node is a `parallel` or a `race`."""
        return self.node.inner_steps if isinstance(self.node, BuiltIn) else ()

    @property
    def plan(self) -> Plan[State_contra]:
        """What it is compiled to when it runs alone, by itself or by an `Engine`: once, for that takes 10 us and more."""
        if self._plan is not None:
            return self._plan
        compiled = compile_step(self)
        ways: dict[object, PlanStep] = {exit_: way_out(exit_) for exit_ in compiled.exits}
        link(compiled, ways or {compiled.only_key: way_out(END)}, ())
        plan: Plan[State_contra] = Plan("", compiled, (compiled,))
        object.__setattr__(self, "_plan", plan)
        return plan

    # not async: a coroutine around another is 0.3 KB and 0.02 us for each wait in it
    def run(
        self: Step[Shared, ...],
        state: Shared,
        /,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        seed: int | None = None,
    ) -> Coroutine[object, object, RunResult[Shared]]:
        """Run this step alone, with the life it has in a flow. Always a checkpoint.

        Args:
            state: stays as it is; the result has the new one.
            timeout: seconds for the whole run; none by default.
            run_id: a UUID by default.
            seed: for ``current_step().random``; random by default.

        Raises:
            StateTypeError: *state* is not an attrs object.
            StateForkError: a value in it can be neither shared nor copied.
            ResourceError: the step uses a resource; those come from an `Engine`.
            FlowFailedError: whatever failed, with its path.
            FlowAbortedError: failures together with Cancelled, KeyboardInterrupt or SystemExit.
        """
        return execute(self.plan, state, timeout=timeout, run_id=run_id, seed=seed)


def _place(
    step: Step[State_contra, Exits],
    node: Node[State_contra, Any, Any, ...],
    name: str,
    exits: tuple[str, ...],
    policies: Policies,
    *,
    condition: Callable[[Any], bool] | None = None,
    origin: Step[Any, ...] | None = None,
) -> None:
    """Fill in a new step, once."""
    fields = {
        "node": node,
        "name": name,
        "exits": exits,
        "policies": policies,
        "condition": condition,
        "origin": origin,
        "_plan": None,
    }
    for field, value in fields.items():
        object.__setattr__(step, field, value)


def with_node(
    step: Step[State_contra, Exits],
    node: Node[Any, Any, Any, ...],
    policies: Policies | None = None,
) -> Step[State_contra, Exits]:
    """Return *step* with another *node*, whose exits the caller has compared, and with other *policies* if they are given."""
    copy: Step[State_contra, Exits] = object.__new__(type(step))
    _place(
        copy,
        node,
        step.name,
        step.exits,
        policies or step.policies,
        condition=step.condition,
        origin=step.origin or step,
    )
    return copy


def compile_step(step: Step[Any, ...]) -> PlanStep:
    """Make the plan step of *step*, not yet linked to others."""
    node, policies = step.node, step.policies
    if isinstance(node, BuiltIn):
        compiled = node.compile(step.name)
    else:
        exits = tuple(map(Exit, step.exits))
        compiled = PlanStep(
            name=step.name,
            kind=Kind.PHASES,
            prep=node.prep,
            exec=node.exec,
            post=bind_exits(node.post, exits),
            exits=exits,
        )
    return attrs.evolve(
        compiled,
        timeout=policies.timeout,
        idle_timeout=policies.idle_timeout,
        max_visits=policies.max_visits,
        fallback=policies.fallback,
        trying=trying_of(policies),
        uses=policies.uses,
        version=policies.version,
    )


# ---------------------------------------------------------------- what is refused


def refuse(name: object, *found: Iterable[Problem]) -> None:
    """Raise everything that was found wrong with the step called *name*, if anything was."""
    problems = tuple(problem for each in found for problem in each)
    if problems:
        raise StepDefinitionError(name=str(name), problems=problems)


def node_problems(
    name: str,
    node: object,
    fallback: Fallback[object] | None = None,
    hedge: object = None,
) -> Iterator[Problem]:
    """What is wrong with *node* in a step called *name*."""
    yield from hedge_problems(name, node, hedge)
    kind = type(node).__name__
    if isinstance(node, type):
        hint = f"write Step({node.__name__}(...))"
        yield Problem("node_class", name, f"{node.__name__} is a class, not a node", hint)
    elif isinstance(node, Step):
        hint = "use it as it is, or make a copy .with_(name=...)"
        yield Problem("step_of_step", name, f"{node.name!r} is a step already", hint)
    elif Node in type(node).__mro__:
        sentence = f"{kind} inherits Node, which hides its exits from type checkers"
        hint = "inherit Work[State, Prepared, Result] or nothing"
        yield Problem("inherits_node", name, sentence, hint)
    elif is_per_item(node):
        sentence = f"{node.flow.name}.over(...) is for the items of each"
        hint = f"write Step(each({node.flow.name}.over(...), concurrent=8))"
        yield Problem("not_each", name, sentence, hint)
    elif not isinstance(node, BuiltIn):
        yield from phase_problems(name, node)
    elif fallback is not None and not node.takes_fallback:
        what = "a function" if node.inner_flow is None else "a flow"
        sentence = f"{what} has no result of exec for a fallback to replace"
        yield Problem("no_fallback", name, sentence, "route its errors with .catch(...)")


def hedge_problems(name: str, node: object, hedge: object) -> Iterator[Problem]:
    """Whether *node*, in a step called *name*, cannot have a *hedge* around the whole of it."""
    for_items = isinstance(node, BuiltIn) and node.is_for_items
    if hedge is not None and for_items:
        sentence = "a hedge around all items would do each of them again, and cannot read a source twice"
        hint = "hedge them one by one: write each(..., hedge=...)"
        yield Problem("hedge_of_items", name, sentence, hint)


def node_name(node: object) -> str:
    """What a step of *node* is called unless told otherwise."""
    if isinstance(node, BuiltIn):
        return node.name
    if is_per_item(node):
        return node.flow.name
    return snake_case((node if isinstance(node, type) else type(node)).__name__)


def _surplus_problems(
    step: str, exits: tuple[str, ...], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Iterator[Problem]:
    if len(args) > len(exits):
        sentence = f"step {step!r} was given {len(args)} targets, more than it has exits"
        yield Problem("surplus_target", step, sentence, "name each exit: to(exit=target)")
    for name in exits[: len(args)]:
        if name in kwargs:
            sentence = f"exit {name!r} of step {step!r} was given two targets"
            yield Problem("surplus_target", step, sentence, "name each exit once")


def _refuse_change() -> NoReturn:
    raise AttributeError(
        "a Step is a value and cannot be changed; with_(...) returns a copy with other options"
    )
