"""A search for a failure: hundreds of executions, then as few deviations and faults as still fail.

Layer: testing. Hundreds of executions share one run of Trio; what is found must fail again in a run of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import attrs

from ._choice_core import Deviations, Fixed
from ._code_core import LONGEST, Replay, spell
from ._errors import StepBudgetError, StuckError
from ._fault_plan import Hit, Used
from ._faults import Body
from ._findings import Exploration, ScheduleFailure, same_failure
from ._search_core import Policy, Search, Trial
from ._shrink_core import shrink
from ._world import Ended, World

__all__ = ["Hunt"]

_EFFORT: Final = 60_000
"""Steps that shrinking may take in all, so that it ends well within a second."""

_FEW: Final = 3_000
"""Steps for which a program that does not end is tried while its schedule is made short."""


@final
class Hunt:
    """One search."""

    def __init__(
        self,
        command: Callable[[str], str],
        body: Body[Any],
        used: Used,
        world: Callable[..., World],
        max_steps: int,
    ) -> None:
        self._command = command
        self._used = used
        self._max_steps = max_steps
        self._body = body
        self._world = world
        self._tries = self._steps = 0

    def search(self, policy: Policy, seeds: int, first: int) -> Exploration:
        """Try *seeds* schedules, or fewer if one fails."""
        search = Search(policy, first)
        failures: list[ScheduleFailure] = []
        while self._tries < seeds and not failures:
            found = self._many(search, seeds)
            if found is not None:
                failures.append(self._explain(*found))
        return Exploration(policy, self._tries, self._steps, tuple(failures))

    def replayed(self, replay: Replay, code: str) -> Exploration:
        """Run the one schedule."""
        trial = replay.trial
        self._used.allow(replay.strikes)
        ended = self._alone(trial, cancel=replay.cancel)
        self._tries, self._steps = 1, ended.steps
        failures: list[ScheduleFailure] = []
        if ended.error is not None:
            sizes = _Sizes(len(ended.deviations), len(self._used.hits))
            failures.append(
                self._failure(ended.error, code, trial, sizes, sizes, confirmed=True)
            )
        return Exploration(trial.policy, 1, ended.steps, tuple(failures))

    def _many(self, search: Search, seeds: int) -> tuple[Trial, Ended[Any], Exception] | None:
        """Try on until one fails, or leaves something behind, after which Trio is started anew."""
        world = self._world(max_steps=self._max_steps)
        trial = search.next()

        async def main() -> Ended[Any]:
            nonlocal trial
            world.attach()
            while True:
                self._tries += 1
                ended = await world.perform(self._body, trial)
                self._steps += ended.steps
                search.learn(ended.widths)
                if ended.error is not None or not ended.clean or self._tries == seeds:
                    return ended
                trial = search.next()

        try:
            ended = world.run(main)
        except StuckError as stuck:
            ended = world.given_up(stuck)
        return None if ended.error is None else (trial, ended, ended.error)

    def _explain(self, trial: Trial, ended: Ended[Any], error: Exception) -> ScheduleFailure:
        """Make the schedule and its faults few, and see it fail once more; with all of them, if it does not."""
        before = _Sizes(len(ended.deviations), len(self._used.hits))
        short = self._shrunk(trial, _Case(ended.deviations), error)
        for case in (short, _Case(ended.deviations)):
            last = self._try(trial, case).error
            if last is not None and same_failure(last, error):
                break
        else:
            last, case = None, _Case(ended.deviations)
        return self._failure(
            last or error,
            self._spell(trial, case),
            trial,
            _Sizes(len(case.deviations), len(self._used.hits)),
            before,
            confirmed=last is not None,
        )

    def _spell(self, trial: Trial, case: _Case) -> str:
        strikes = None if case.only is None else self._used.strikes(case.only)
        return spell(trial, case.deviations, strikes=strikes)

    def _failure(
        self,
        error: Exception,
        code: str,
        trial: Trial,
        sizes: _Sizes,
        before: _Sizes,
        *,
        confirmed: bool,
    ) -> ScheduleFailure:
        failure = ScheduleFailure(
            error=error,
            code=code,
            command=self._command(code),
            seed=trial.seed,
            policy=trial.policy,
            tries=self._tries or 1,
            deviations=sizes.deviations,
            found_with=before.deviations,
            faults=tuple(f"{name}#{call}" for name, call in self._used.hits),
            faults_found_with=before.hits,
            confirmed=confirmed,
        )
        error.add_note(str(failure))
        return failure

    def _alone(
        self, trial: Trial, *, cancel: int | None = None, max_steps: int | None = None
    ) -> Ended[Any]:
        """Execute *trial* in a run of Trio of its own."""
        world = self._world(max_steps=max_steps or self._max_steps)
        return world.execute(self._body, trial, cancel=cancel)

    def _try(self, trial: Trial, case: _Case, max_steps: int | None = None) -> Ended[Any]:
        self._used.only = None if case.only is None else frozenset(case.only)
        return self._alone(
            attrs.evolve(trial, chooser=Fixed(case.deviations)), max_steps=max_steps
        )

    def _shrunk(self, trial: Trial, case: _Case, error: Exception) -> _Case:
        """Fewer deviations, and fewer faults, with which the same happens."""
        # one that does not end is tried for less long, or a few tries would use up the effort
        few = min(self._max_steps, _FEW) if isinstance(error, StepBudgetError) else None

        def fails(case: _Case) -> tuple[Deviations | None, int]:
            again = self._try(trial, case, few)
            failed = again.error is not None and same_failure(again.error, error)
            return (again.deviations if failed else None), again.steps

        def with_schedule(deviations: Deviations) -> tuple[Deviations | None, int]:
            return fails(attrs.evolve(case, deviations=deviations))

        case = _Case(shrink(case.deviations, with_schedule, _EFFORT))
        self._try(trial, case, few)
        hits = tuple(self._used.hits)

        def with_faults(chosen: Deviations) -> tuple[Deviations | None, int]:
            taken, steps = fails(
                attrs.evolve(case, only=tuple(hits[at] for at in sorted(chosen)))
            )
            struck = {at: 1 for at, hit in enumerate(hits) if hit in self._used.hits}
            return (None if taken is None else struck), steps

        chosen = shrink(dict.fromkeys(range(len(hits)), 1), with_faults, _EFFORT)
        if len(chosen) == len(hits):
            return case
        all_faults, case = (
            case,
            attrs.evolve(case, only=tuple(hits[at] for at in sorted(chosen))),
        )
        case = attrs.evolve(case, deviations=shrink(case.deviations, with_schedule, _EFFORT))
        return case if len(self._spell(trial, case)) <= LONGEST else all_faults


@final
@attrs.frozen
class _Case:
    """What is tried of a failure.

    Attributes:
        deviations: of its schedule.
        only: the calls that faults may strike; None: all that they would.
    """

    deviations: Deviations
    only: tuple[Hit, ...] | None = None


@final
@attrs.frozen
class _Sizes:
    """How many deviations and struck calls."""

    deviations: int
    hits: int
