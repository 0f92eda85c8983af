"""What a search came to, and how it is told.

Layer: testing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, final

import attrs
from typing_extensions import TypeIs, override

from ._search_core import Policy
from ._shown import shown_text

__all__ = ["Exploration", "ScheduleFailure", "same_failure"]

_BEYOND: Final = (
    "tasks went on one step at a time, with timers up to a microsecond late: Trio allows it, "
    "but its scheduler of today may never do it"
)

_UNCONFIRMED: Final = (
    "it did not fail again in a run of its own: something else decides, see check_deterministic"
)


@final
@attrs.frozen
class ScheduleFailure:
    """A schedule under which the program fails.

    Attributes:
        error: what it raises.
        code: repeats it: ``explore(program, replay=code)``.
        command: the same as something to type.
        seed: of the program's dice.
        policy: what found it; never ``portfolio``.
        tries: how many schedules were tried, this one included.
        deviations: how many choices differ from the usual order, after shrinking.
        found_with: how many did before.
        faults: the calls that faults struck, as ``model#3`` for the third call at ``model``; after shrinking.
        faults_found_with: how many were struck before.
        confirmed: whether it failed again in a run of its own; if not, something besides seed and schedule decides.
    """

    error: Exception
    code: str
    command: str
    seed: int
    policy: Policy
    tries: int
    deviations: int
    found_with: int
    faults: Sequence[str]
    faults_found_with: int
    confirmed: bool

    @override
    def __str__(self) -> str:
        shrunk = f", shrunk from {self.found_with}" if self.found_with > self.deviations else ""
        noun = "deviation" if self.deviations == 1 else "deviations"
        head = f"schedule {self.tries} fails ({self.policy}, seed {self.seed}; "
        lines = [
            f"{head}{self.deviations} {noun} from the usual order{shrunk})",
            *self._struck(),
            f"replay: {self.command}",
        ]
        if self.policy != "batch" and self.deviations:
            lines.append(f"note: {_BEYOND}")
        if not self.confirmed:
            lines.append(f"note: {_UNCONFIRMED}")
        return "\n".join(lines)

    def _struck(self) -> Sequence[str]:
        if not self.faults_found_with:
            return []
        count, before = len(self.faults), self.faults_found_with
        shrunk = f", shrunk from {before}" if before > count else ""
        return [f"faults: {', '.join(self.faults) or 'none needed'}{shrunk}"]


@final
@attrs.frozen
class Exploration:
    """What a search came to.

    Attributes:
        policy: how it searched.
        seeds: how many schedules were tried.
        steps: how many steps they took together.
        failures: the first schedule that fails, made short; empty if none was found.
    """

    policy: Policy
    seeds: int
    steps: int
    failures: Sequence[ScheduleFailure]

    def raise_on_failure(self) -> None:
        """Raise what the program raised, with a note that says how to repeat it.

        Raises:
            Exception: the failure, if there is one.
        """
        __tracebackhide__ = True
        for failure in self.failures:
            raise failure.error

    @override
    def __str__(self) -> str:
        if not self.failures:
            return f"{self.seeds} schedules ({self.policy}), {self.steps} steps: no failure"
        return "\n".join(f"{failure}\n{_told(failure.error)}" for failure in self.failures)


def _told(error: Exception) -> str:
    """What failed: of a group, its leaves."""
    leaves = [part for part in _leaves_of(error) if part is not error]
    told = "; ".join(
        f"{type(leaf).__name__}: {shown_text(leaf, error)}".removesuffix(": ")
        for leaf in leaves or [error]
    )
    return f"{told} (in {type(error).__name__})" if leaves else told


def _leaves_of(error: Exception) -> Sequence[Exception]:
    """The errors in a group, however deep; a single error itself."""
    return [leaf for part in _parts(error) for leaf in _leaves_of(part)] or [error]


def same_failure(one: Exception, other: Exception) -> bool:
    """Whether both failed in the same way: errors of the same kinds, in the same groups."""
    if type(one) is not type(other):
        return False
    return all(itertools.starmap(same_failure, zip(_parts(one), _parts(other), strict=False)))


def _parts(error: Exception) -> Sequence[Exception]:
    return error.exceptions if _is_group(error) else ()


def _is_group(error: Exception) -> TypeIs[ExceptionGroup[Exception]]:
    """Whether several errors are raised as one."""
    return isinstance(error, ExceptionGroup)
