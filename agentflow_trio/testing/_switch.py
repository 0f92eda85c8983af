"""A flow that goes on as another one from a moment on.

Layer: testing. Rule: all of them have the same lines between steps of the same names. Each run gets copies of their
plans; when the moment comes, whatever leads to a step of the one leads to its twin in the other. So a visit that began
before ends as it began, whatever kind of step it is, and until then nothing is done that was not done without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, final

import attrs
from typing_extensions import TypeIs, override

from ..engine import Kind, Plan, PlanStep, Runnable
from ..flow import Node, Step
from ._clock import Turning

__all__ = ["AnyNode", "AnyStep", "Replacing", "Switching"]

State = TypeVar("State")

AnyStep: TypeAlias = Step[Any, ...]
AnyNode: TypeAlias = Node[Any, Any, Any, ...]

Replacing: TypeAlias = Mapping[AnyStep, AnyNode | AnyStep]
"""Step -> the node that is run in its place, or that step with other options, as for `Flow.replacing`."""


@final
class Switching(Generic[State]):
    """What is run: at first one flow, and others from later moments on. For one run."""

    def __init__(
        self, first: Runnable[State], later: Sequence[tuple[float, Runnable[State]]]
    ) -> None:
        self.plan: Plan[State] = _copied(first.plan, {})
        self._later = [(at, _copied(flow.plan, {})) for at, flow in later]

    def turns(self) -> Sequence[Turning]:
        """What is to be done at which moment."""
        earlier = [self.plan]
        found: list[Turning] = []
        for at, plan in self._later:
            found.append(Turning(at, _switch(tuple(earlier), plan), wakes=False))
            earlier.append(plan)
        return found


def _switch(earlier: Iterable[Plan[Any]], plan: Plan[Any]) -> Callable[[], None]:
    def switch() -> None:
        for each in earlier:
            _lead(each, plan)

    return switch


# ---------------------------------------------------------------- copies


@final
@attrs.define(eq=False, repr=False, kw_only=True)
class _Twin(PlanStep):
    """A step of a copy. It is counted together with its twins: visits of a step are numbered on."""

    @override
    def __eq__(self, other: object) -> bool:
        return _is_twin(other) and self.name == other.name

    @override
    def __hash__(self) -> int:
        return hash(self.name)


def _is_twin(thing: object) -> TypeIs[_Twin]:
    return isinstance(thing, _Twin)


def _copied(plan: Plan[State], known: dict[Plan[Any], Plan[Any]]) -> Plan[State]:
    """A copy of *plan* and of all plans in it, whose routes can be changed."""
    if plan in known:
        return known[plan]
    twins: dict[PlanStep, PlanStep] = {step: _twin(step, known) for step in plan.steps}
    for step, twin in twins.items():
        twin.routes = {key: twins.get(target, target) for key, target in step.routes.items()}
        twin.catches = tuple(
            attrs.evolve(catch, target=twins.get(catch.target, catch.target))
            for catch in step.catches
        )
        # The only target is looked up when the visit has ended, since it may be another by then.
        prep, work, post, _ = step.hot
        twin.hot = (prep, work, post, None)
        twin.inline, twin.atomic = step.inline, step.atomic
    copy = attrs.evolve(plan, start=twins[plan.start], steps=tuple(twins.values()))
    # A log of it may come to hold steps that have others in them.
    object.__setattr__(copy, "flat", False)
    known[plan] = copy
    return copy


def _twin(step: PlanStep, known: dict[Plan[Any], Plan[Any]]) -> _Twin:
    fields: dict[str, Any] = {
        field.name: getattr(step, field.name) for field in attrs.fields(PlanStep) if field.init
    }
    fields["inner"] = None if step.inner is None else _copied(step.inner, known)
    fields["branches"] = tuple(
        attrs.evolve(branch, plan=_copied(branch.plan, known)) for branch in step.branches
    )
    items = step.items
    if items is not None and items.inner is not None:
        fields["items"] = attrs.evolve(items, inner=_copied(items.inner, known))
    return _Twin(**fields)


# ---------------------------------------------------------------- the moment


def _lead(plan: Plan[Any], other: Plan[Any]) -> None:
    """Have everything in *plan* that leads to a step lead to its twin in *other*."""
    twins = {step.name: step for step in other.steps}

    def instead(target: PlanStep) -> PlanStep:
        return target if target.kind is Kind.WAY_OUT else twins[target.name]

    for step in plan.steps:
        for key, target in step.routes.items():
            step.routes[key] = instead(target)
        step.catches = tuple(
            attrs.evolve(catch, target=instead(catch.target)) for catch in step.catches
        )
        _lead_inside(step, twins[step.name])
    object.__setattr__(plan, "start", instead(plan.start))  # of a flow that is tried again


def _lead_inside(step: PlanStep, twin: PlanStep) -> None:
    """The same in what *step* runs inside, unless its twin runs something else."""
    if _shape(step) == _shape(twin):
        for mine, other in zip(step.parts, twin.parts, strict=True):
            _lead(mine, other)


def _shape(step: PlanStep) -> tuple[object, ...]:
    return step.kind, *((part.name, [one.name for one in part.steps]) for part in step.parts)
