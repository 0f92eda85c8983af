"""What a recorded run is made of: enough to run it again, and what is otherwise from some moments on.

Layer: testing. A recipe is a value; a fork of a timeline is another recipe that is the same until a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import attrs
from typing_extensions import override

from ._choice_core import Chooser
from ._clock import Turning
from ._code_core import parse
from ._fault_plan import Turn, Used
from ._faults import Faults
from ._private import Control
from ._program import is_flow, title_of
from ._search_core import Trial, trial
from ._subject import Subject, plainly, subject_of
from ._switch import AnyNode, AnyStep, Replacing, Switching
from ._world import World

__all__ = ["Change", "Recipe"]


@final
@attrs.frozen(kw_only=True)
class Change:
    """What is otherwise from a moment on; None: nothing of that kind.

    Attributes:
        at: the moment, virtual seconds.
        faults: what fails from then on.
        replacing: what is run instead of some steps.
        seed: what choices and faults are drawn from.
        doing: what is done then.
    """

    at: float
    faults: Faults | None = None
    replacing: Replacing | None = None
    seed: int | None = None
    doing: Callable[[], object] | None = None


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
        swaps: what is run in the place of steps from later moments on, in order.
        deeds: what is done at later moments, in order.
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
    swaps: Mapping[AnyStep, tuple[tuple[float, AnyNode | AnyStep], ...]] = attrs.field(
        factory=dict[AnyStep, tuple[tuple[float, AnyNode | AnyStep], ...]]
    )
    deeds: tuple[tuple[float, Callable[[], object]], ...] = ()

    # ---------------------------------------------------------------- made of it

    def subject(self, used: Used) -> Subject[Any, Any]:
        """What is executed.

        Raises:
            TypeError: it is neither a flow with its state nor a function of at most one argument.
            FlowDefinitionError: a step cannot be replaced so.
        """
        program = self.program
        if not (self.swaps and is_flow(program)):
            return subject_of(program, self.state, used, self._deeds())
        moments = sorted({at for nodes in self.swaps.values() for at, _ in nodes if at > 0})
        flows = [program.replacing(self._at(0.0))]
        for moment in moments:
            flows.append(flows[-1].replacing(self._at(moment)))
        switching = Switching(flows[0], [*zip(moments, flows[1:], strict=True)])
        turns = sorted((*switching.turns(), *self._deeds()), key=lambda turn: turn.at)
        return subject_of(program, self.state, used, turns, switching)

    def _at(self, moment: float) -> Replacing:
        """What is run in the place of steps from then on."""
        nodes = ((step, dict(found).get(moment)) for step, found in self.swaps.items())
        return {step: node for step, node in nodes if node is not None}

    def _deeds(self) -> Sequence[Turning]:
        return [Turning(at, plainly(act), wakes=True) for at, act in self.deeds]

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
        deeds = [*self.deeds]
        swaps = {step: [*nodes] for step, nodes in self.swaps.items()}
        if change.faults is not None or change.seed is not None:
            turns = [turn for turn in turns if turn.at < at]
            turns.append(Turn(at, change.faults, change.seed))
        if change.seed is not None:
            reseeds = [*(each for each in reseeds if each[0] < at), (at, change.seed)]
        for step, node in (change.replacing or {}).items():
            self._check_flow()
            swaps[step] = [each for each in swaps.get(step, ()) if each[0] < at]
            swaps[step].append((at, node))
        if change.doing is not None:
            deeds = sorted([*deeds, (at, change.doing)], key=lambda deed: deed[0])
        return attrs.evolve(
            self,
            turns=tuple(turns),
            deeds=tuple(deeds),
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
