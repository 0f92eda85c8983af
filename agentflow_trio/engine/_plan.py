"""Plans: what a flow is compiled to and the engine runs. Methods resolved, policies decided, exits made once.

Layer: engine. Rule: a plan is complete before it runs and never changes after that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeAlias, TypeVar, final

import attrs

from ..types import END, Exit, Resource

if TYPE_CHECKING:
    from ..robustness import Fallback
    from ..types import Count, Share
    from ._trying import Trying

__all__ = [
    "Branch",
    "Call",
    "Catch",
    "ItemValue",
    "Items",
    "Kind",
    "Plan",
    "PlanStep",
    "Runnable",
    "StateValue",
    "link",
    "way_out",
]

State_contra = TypeVar("State_contra", contravariant=True)

StateValue: TypeAlias = Any
"""The user's state. Its type was checked where the flow was wired and given to `run`; here it is passed along."""

ItemValue: TypeAlias = Any
"""An item of each and batch, several of them, what exec makes of them, or a total: typed where the node was wired."""

Call: TypeAlias = Callable[..., Awaitable[Any]]
"""A phase of a node. Its types were checked where the node was wired; the engine only passes values along."""


@final
class Kind(Enum):
    """What running a step means."""

    PHASES = "prep, exec and post of a node"
    FUNCTION = "one function, on a fork of the state"
    NESTED = "another plan, on a fork of the state"
    PARALLEL = "several plans at once, each on a fork of the state; the forks are merged"
    RACE = "several plans at once; the fork of the first that ends well is kept"
    ITEMS = "prep and post of a node, and its exec for every item that prep gave"
    WAY_OUT = "nothing: an exit of the plan"


def _no_phase(*_: object) -> NoReturn:
    raise AssertionError("this kind of step has no such phase")


@final
@attrs.frozen(eq=False, repr=False)
class Catch:
    """Errors that are routed like an exit, and where to."""

    errors: tuple[type[Exception], ...]
    target: PlanStep


@final
@attrs.frozen(eq=False, repr=False)
class Branch:
    """One arm of `parallel` or `race`.

    Attributes:
        name: its segment of paths.
        plan: its one step.
        when: says of the state whether it runs at all.
    """

    name: str
    plan: Plan[Any]
    when: Callable[[Any], bool] | None = None


@final
@attrs.frozen(eq=False, repr=False, kw_only=True)
class Items:
    """How the items of `each` and `batch` are worked on.

    Attributes:
        size: of the parts that exec gets at once, at most; None if it gets single items.
        concurrent: calls of exec at once.
        tolerated: how many may fail, or which share of them; None: none.
        start, add: what outputs are folded into; None if they are collected.
        ordered: whether they are folded in input order.
        inner: the plan that is run for each of them instead of exec, if it is a flow.
        trying: how each call of exec is tried; None: once.
    """

    size: int | None
    concurrent: int
    tolerated: Count | Share | None = None
    start: Callable[[], Any] | None = None
    add: Callable[[Any, Any], Any] | None = None
    ordered: bool = True
    inner: Plan[Any] | None = None
    trying: Trying | None = None


def _is_deep(step: PlanStep) -> bool:
    return bool(step.parts)


# not final: the simulator makes copies of its own
@attrs.define(eq=False, repr=False, kw_only=True)
class PlanStep:
    """One step as the engine sees it.

    Attributes:
        name: its segment of the path.
        kind: what running it means.
        prep, exec, post: the node's phases with the exits bound in; a function step has only ``exec``.
        inner: the plan of a nested flow, with ``enter`` and ``leave`` if it works on a state of another type.
        exits: what ``post`` may return; empty for a step without exits.
        branches: the arms of a parallel step or a race.
        items: how the items of each and batch are worked on.
        trying: how exec is tried, as a whole; None: once.
        routes: what came back -> where to go.
        deep: it has steps in it.
        inline: its kind, if only its body is to be done, so that the sequence may do it itself; else None.
        hot: the phases and the only target, if there is but one: what the loop needs in one read (0.08 us less).
        atomic: a failure may be routed, so everything it writes is written to a fork.
    """

    name: str
    kind: Kind
    prep: Call = _no_phase
    exec: Call = _no_phase
    post: Call = _no_phase
    inner: Plan[Any] | None = None
    enter: Callable[[Any], Any] | None = None
    leave: Callable[[Any, Any], object] | None = None
    branches: tuple[Branch, ...] = ()
    items: Items | None = None
    exits: tuple[Exit, ...] = ()
    timeout: float | None = None
    idle_timeout: float | None = None
    max_visits: int | None = None
    fallback: Fallback[object] | None = None
    trying: Trying | None = None
    uses: tuple[Resource[object], ...] = ()
    version: str = ""
    routes: dict[object, PlanStep] = attrs.field(factory=dict[object, "PlanStep"], repr=False)
    catches: tuple[Catch, ...] = attrs.field(default=(), repr=False)
    deep: bool = attrs.field(init=False, default=attrs.Factory(_is_deep, takes_self=True))
    inline: Kind | None = None
    hot: tuple[Call, Call, Call, PlanStep | None] = attrs.field(
        default=(_no_phase, _no_phase, _no_phase, None), repr=False
    )
    atomic: bool = False

    @property
    def parts(self) -> tuple[Plan[Any], ...]:
        """The plans in it: of a nested flow, of every branch, or of what is run for each item."""
        of_items = None if self.items is None else self.items.inner
        own = (plan for plan in (self.inner, of_items) if plan is not None)
        return (*own, *(branch.plan for branch in self.branches))

    @property
    def only_key(self) -> object:
        """What comes back from a step without exits."""
        return END if self.kind is Kind.NESTED else None


def way_out(exit: Exit) -> PlanStep:  # noqa: A002 - our word for it
    """The pseudo-step that leaves a plan by *exit*."""
    return PlanStep(name=exit.name, kind=Kind.WAY_OUT, exits=(exit,), inline=Kind.WAY_OUT)


def link(step: PlanStep, routes: dict[object, PlanStep], catches: tuple[Catch, ...]) -> None:
    """Say where *step* leads, and decide what that makes of it. Called once per step, while its plan is made."""
    step.routes.update(routes)
    step.hot = (step.prep, step.exec, step.post, routes.get(None))
    step.catches = catches
    bounded = (
        step.timeout is not None or step.idle_timeout is not None or step.max_visits is not None
    )
    step.atomic = bool(catches)
    plain = step.kind in {Kind.PHASES, Kind.FUNCTION, Kind.NESTED}
    bare = not bounded and step.fallback is None and step.trying is None
    if bare and not (step.atomic and step.kind is Kind.PHASES):
        step.inline = step.kind if plain else None


def _needs(plan: Plan[Any]) -> tuple[tuple[str, Resource[object]], ...]:
    own = [(step.name, resource) for step in plan.steps for resource in step.uses]
    return (*own, *(need for step in plan.steps for part in step.parts for need in part.needs))


def _is_flat(plan: Plan[Any]) -> bool:
    return not any(step.deep for step in plan.steps)


@final
@attrs.frozen(eq=False, repr=False)
class Plan(Generic[State_contra]):
    """A compiled flow. The type parameter is the state's, for checkers only.

    Attributes:
        name: the flow's name, the first segment of every path; empty for a step run alone.
        start: where a run begins.
        steps: every step, as written.
        needs: every resource that a step declares, nested ones included, with the step's name.
        flat: no step has steps in it.
    """

    name: str
    start: PlanStep
    steps: tuple[PlanStep, ...]
    needs: tuple[tuple[str, Resource[object]], ...] = attrs.field(
        init=False, default=attrs.Factory(_needs, takes_self=True)
    )
    flat: bool = attrs.field(init=False, default=attrs.Factory(_is_flat, takes_self=True))
    _hashes: dict[type, str] = attrs.field(init=False, factory=dict[type, str])

    def definition(self) -> str:
        """Names, exits, edges and versions as text: what the definition hash is taken of."""
        lines = [f"flow {self.name} starts at {self.start.name}"]
        for step in self.steps:
            routes = (f"{_exit_name(key)}>{target.name}" for key, target in step.routes.items())
            catches = (
                f"{'|'.join(kind.__qualname__ for kind in catch.errors)}>{catch.target.name}"
                for catch in step.catches
            )
            lines.append(f"{step.name} v{step.version} {' '.join(routes)} {' '.join(catches)}")
            lines += _shape(step)
            lines += [f"{{{part.definition()}}}" for part in step.parts]
        return "\n".join(lines)

    def definition_hash(self, state: type) -> str:
        """16 hex digits over `definition` and the fields of the state's class, annotations as written, unevaluated."""
        found = self._hashes.get(state)
        if found is None:  # kept: for every run that is observed it would be 2 us a step
            fields = ",".join(f"{field.name}:{field.type!r}" for field in attrs.fields(state))
            text = f"{self.definition()}\n{fields}"
            found = self._hashes[state] = hashlib.sha256(text.encode()).hexdigest()[:16]
        return found


def _shape(step: PlanStep) -> tuple[str, ...]:
    """What a definition says of a shape: which it is, and in what parts the items are worked on."""
    if step.branches:
        return (f"{step.kind.name.lower()} of",)
    return () if step.items is None else (f"items {step.items.size}",)


def _exit_name(key: object) -> str:
    return "" if key is None or key is END else getattr(key, "name", "")


class Runnable(Protocol[State_contra]):
    """Anything that has a plan: a flow."""

    @property
    def plan(self) -> Plan[State_contra]: ...
