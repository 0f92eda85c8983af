"""What a recorded run is made of: enough to run it again, and what is otherwise from some moments on.

Layer: testing. A recipe is a value; a fork of a timeline is another recipe that is the same until a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, final

import attrs
from typing_extensions import override

from ..flow import Node, Step
from ._choice_core import Chooser
from ._code_core import parse
from ._fault_plan import Turn, Used
from ._faults import Faults
from ._gate import gate
from ._private import Control
from ._program import is_flow, title_of
from ._search_core import Trial, trial
from ._subject import Subject, subject_of
from ._world import World

__all__ = ["Change", "Recipe", "Replacing"]

AnyStep: TypeAlias = Step[Any, ...]
AnyNode: TypeAlias = Node[Any, Any, Any, ...]

Replacing: TypeAlias = Mapping[AnyStep, AnyNode | AnyStep]
"""Step -> the node that is run in its place, as for `Flow.replacing`."""


@final
@attrs.frozen(kw_only=True)
class Change:
    """What is otherwise from a moment on; None: nothing of that kind.

    Attributes:
        at: the moment, virtual seconds.
        faults: what fails from then on.
        replacing: what is run instead of some steps.
        seed: what choices and faults are drawn from.
    """

    at: float
    faults: Faults | None = None
    replacing: Replacing | None = None
    seed: int | None = None


@final
@attrs.frozen(kw_only=True)
class Recipe:
    """All that decides what happens.

    Attributes:
        program: an async function, or a flow.
        state: of the flow.
        seed: of everything that is left to chance.
        faults: what fails from the beginning on.
        replay: the code of a schedule, instead of one that is drawn.
        services, max_steps, control: as for `simulate`.
        turns: what fails from later moments on, in order.
        reseeds: what choices are drawn from then on.
        swaps: the nodes that steps have from later moments on, in order.
    """

    program: Any
    state: Any
    seed: int
    faults: Faults | None
    replay: str | None
    services: Sequence[str]
    max_steps: int
    control: Control
    turns: tuple[Turn, ...] = ()
    reseeds: tuple[tuple[float, int], ...] = ()
    swaps: Mapping[AnyStep, tuple[tuple[float, AnyNode], ...]] = attrs.field(
        factory=dict[AnyStep, tuple[tuple[float, AnyNode], ...]]
    )

    # ---------------------------------------------------------------- made of it

    def subject(self, used: Used) -> Subject[Any, Any]:
        """What is executed.

        Raises:
            TypeError: it is neither a flow with its state nor a function of at most one argument.
            FlowDefinitionError, UnreplaceableStepError: a step cannot be replaced so.
        """
        program = self.program
        if self.swaps and is_flow(program):
            program = program.replacing({step: self._node(step) for step in self.swaps})
        return subject_of(program, self.state, used)

    def _node(self, step: AnyStep) -> AnyNode:
        node = step.node
        for at, other in self.swaps[step]:
            node = gate(step, node, other, at) if at > 0 else other
        return node

    def used(self) -> Used:
        """What fails."""
        used = Used(self.faults, self.turns)
        if self.replay is not None:
            used.allow(parse(self.replay).strikes)
        return used

    def world(self, *, trace: bool = False) -> World:
        """Where it is executed.

        Raises:
            ControlError: this Trio cannot be controlled so far.
        """
        return World(
            control=self.control,
            services=self.services,
            max_steps=self.max_steps,
            trace=trace,
        )

    def trial(self, world: World) -> Trial:
        """The schedule, as chosen in *world*.

        Raises:
            ReplayCodeError: the code is none.
        """
        made = trial("batch", self.seed, slack=False)
        if self.replay is not None:
            made = parse(self.replay).trial
        if not self.reseeds:
            return made
        later = [(at, trial(made.policy, seed).chooser) for at, seed in self.reseeds]
        chooser = _Reseeded(made.chooser, later, lambda: world.clock.time)
        return attrs.evolve(made, chooser=chooser)

    # ---------------------------------------------------------------- another one

    def changed(self, change: Change) -> Recipe:
        """The recipe that is this one until a moment, and then as *change* says, instead of what was to change later.

        Raises:
            TypeError: steps of what is no flow are to be replaced.
        """
        at, turns, reseeds = change.at, [*self.turns], [*self.reseeds]
        swaps = {step: [*nodes] for step, nodes in self.swaps.items()}
        if change.faults is not None or change.seed is not None:
            turns = [turn for turn in turns if turn.at < at]
            turns.append(Turn(at, change.faults, change.seed))
        if change.seed is not None:
            reseeds = [*(each for each in reseeds if each[0] < at), (at, change.seed)]
        for step, node in (change.replacing or {}).items():
            self._check_flow()
            swaps[step] = [each for each in swaps.get(step, ()) if each[0] < at]
            swaps[step].append((at, node.node if isinstance(node, Step) else node))
        return attrs.evolve(
            self,
            turns=tuple(turns),
            reseeds=tuple(reseeds),
            swaps={step: tuple(nodes) for step, nodes in swaps.items()},
        )

    def _check_flow(self) -> None:
        if not is_flow(self.program):
            raise TypeError(
                f"{title_of(self.program)}() has no steps to replace; only a flow has"
            )


@final
class _Reseeded(Chooser):
    """Chooses as one chooser does, and as others do from later moments on."""

    def __init__(
        self,
        first: Chooser,
        later: Sequence[tuple[float, Chooser]],
        time: Callable[[], float],
    ) -> None:
        self._chooser = first
        self._later = [*later]
        self._time = time

    @override
    def choose(self, point: int, tasks: Sequence[object], usual: int, /) -> int:
        return self._now().choose(point, tasks, usual)

    @override
    def tie(self, point: int, options: int, /) -> int:
        return self._now().tie(point, options)

    def _now(self) -> Chooser:
        while self._later and self._time() >= self._later[0][0]:
            self._chooser = self._later.pop(0)[1]
        return self._chooser
