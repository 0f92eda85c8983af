"""Steps at once, as a node: all of them with `parallel`, the first that ends well with `race`.

Layer: flow. Rule: each works on a fork of the state; the engine merges the forks, or keeps one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, ParamSpec, TypeVar, final

import attrs

from .._typing import override
from ..engine import Branch, Kind, PlanStep, execute
from ..state import fork
from ..types import Exit, Next, RunResult
from ._node import BuiltIn, Node, defaulted_of, overwrite, passed_exit
from ._shape_core import branch_problems
from ._step import Step, refuse

__all__ = ["AtOnce", "parallel", "race"]

State = TypeVar("State")
Exits = ParamSpec("Exits")


def _compiled(node: AtOnce[Any, ...]) -> tuple[Branch, ...]:
    return tuple(Branch(step.name, step.plan, step.condition) for step in node.branches)


def _defaults(node: AtOnce[Any, ...]) -> tuple[str, ...]:
    return tuple(name for branch in node.branches for name in defaulted_of(branch.node))


@final
@attrs.frozen(eq=False, kw_only=True)
class AtOnce(BuiltIn, Generic[State, Exits]):
    """Several steps at once, as a node.

    Attributes:
        branches: the steps, as declared.
        kind: whether all of them count, or the first that ends well.
        arms: what they were compiled to; here, so that depth costs no stack.
        defaults: the exits of any branch that have a default; here for the same reason.
    """

    branches: tuple[Step[State, Exits], ...]
    kind: Kind
    arms: tuple[Branch, ...] = attrs.field(
        init=False, repr=False, default=attrs.Factory(_compiled, takes_self=True)
    )
    defaults: tuple[str, ...] = attrs.field(
        init=False, repr=False, default=attrs.Factory(_defaults, takes_self=True)
    )

    @property
    @override
    def defaulted(self) -> tuple[str, ...]:
        """Those of any branch."""
        return self.defaults

    @property
    @override
    def inner_steps(self) -> tuple[Step[State, Exits], ...]:
        """The branches."""
        return self.branches

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        """See `BuiltIn`."""
        return ("all at once",) if self.kind is Kind.PARALLEL else ("the first to end well",)

    @override
    def among(self, steps: Sequence[Step[Any, ...]]) -> Node[Any, Any, Any, ...]:
        """See `BuiltIn`."""
        made: AtOnce[Any, ...] = AtOnce(
            name=self.name, exits=self.exits, branches=tuple(steps), kind=self.kind
        )
        return made

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        exits = tuple(map(Exit, self.exits))
        return PlanStep(name=name, kind=self.kind, branches=self.arms, exits=exits)

    async def prep(self, shared: State, /) -> State:
        """Fork the state. Not a checkpoint."""
        return fork(shared)

    async def exec(self, prepared: State, /) -> RunResult[State]:
        """Run the branches on forks of the fork; errors as for `Step.run`. Always a checkpoint."""
        alone: Step[State, ...] = Step(self)
        return await execute(alone.plan, prepared)

    async def post(
        self,
        shared: State,
        _prepared: State,
        result: RunResult[State],
        /,
        *args: Exits.args,
        **kwargs: Exits.kwargs,
    ) -> Next | None:
        """Keep what became of the fork and take the exit of the race. Not a checkpoint."""
        overwrite(shared, result.state)
        return passed_exit(result.exit, self.exits, args, kwargs)


def parallel(*branches: Step[State, []]) -> Node[State, State, RunResult[State], []]:
    """Make a node that runs steps at once: ``Step(parallel(web, papers), name="research")``.

    Each branch works on a fork of the state, and its step has its whole life there. When all have
    ended well, the forks are merged in declared order, by the rules of `merge`; when one fails,
    the others are cancelled and none is merged. What comes of it does not depend on timing.
    ``branch.when(predicate)`` leaves a branch out.

    A branch has no exits; one that branches goes inside a small flow.

    Raises:
        StepDefinitionError: there are no branches, one is no step, has exits, or is there twice, or
            two have the same name; all at once.
    """
    refuse("parallel", branch_problems("parallel", branches))
    return AtOnce(name="parallel", exits=(), branches=branches, kind=Kind.PARALLEL)


def race(*branches: Step[State, Exits]) -> Node[State, State, RunResult[State], Exits]:
    """Make a node that runs steps at once and keeps what the first one to end well did.

    Of several at one moment the first declared wins. Its exit is the exit of the race; all branches
    have the same. The others are cancelled and waited for; what failed in them is in
    ``RunResult.suppressed``. If all fail, all of it is raised.

    Raises:
        StepDefinitionError: there are no branches, one is no step or is there twice, two have the
            same name, or their exits differ; all at once.
    """
    refuse("race", branch_problems("race", branches))
    return AtOnce(name="race", exits=branches[0].exits, branches=branches, kind=Kind.RACE)
