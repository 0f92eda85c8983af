"""A schedule as a few characters that can be pasted.

Layer: testing, sans-IO. Two forms: ``os17:3,9.2`` spells every deviation out (each as its distance from the one before,
and the choice if it is not 1; base 36), so that it survives changes of how policies search; ``priorities=17`` names what
made it, for schedules with more deviations than fit.
"""

from __future__ import annotations

import re
from typing import Final, final

import attrs

from ._choice_core import Deviations, Fixed
from ._errors import ReplayCodeError
from ._search_core import Mode, Policy, Trial, trial

__all__ = ["LONGEST", "Replay", "parse", "spell"]

LONGEST: Final = 80
"""Characters a code has at most."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_NUMBER: Final = "[1-9a-z][0-9a-z]*"
_PART: Final = rf"{_NUMBER}(?:\.{_NUMBER})?"
_CODE: Final = re.compile(
    r"(?:(?P<mode>[ob])(?P<slack>s?)|(?P<policy>batch|one-at-a-time|priorities)=)"
    rf"(?P<seed>-?[0-9]+)(?:x(?P<cancel>[0-9]+))?(?P<rest>:(?:{_PART}(?:,{_PART})*)?)?"
)
_MODES: Final[dict[str, Mode]] = {"o": "one", "b": "batch"}
_NAMED: Final[dict[str, Policy]] = {
    "batch": "batch",
    "one-at-a-time": "one-at-a-time",
    "priorities": "priorities",
}


@final
@attrs.frozen
class Replay:
    """What a code stands for.

    Attributes:
        trial: the schedule.
        cancel: the step at which the program is cancelled, if it is.
    """

    trial: Trial
    cancel: int | None = None


def spell(made: Trial, deviations: Deviations, cancel: int | None = None) -> str:
    """The code of an execution of *made* that took *deviations*."""
    cut = "" if cancel is None else f"x{cancel}"
    slack = "s" if made.slack else ""
    spelt = f"{made.mode[0]}{slack}{made.seed}{cut}:{_spell(deviations)}"
    if len(spelt) <= LONGEST or made.policy not in _NAMED or not made.slack:
        return spelt
    return f"{made.policy}={made.seed}{cut}"


def parse(code: str) -> Replay:
    """What *code* stands for.

    Raises:
        ReplayCodeError: it stands for nothing.
    """
    found = _CODE.fullmatch(code.strip())
    if found is None or (found["mode"] is None) != (found["rest"] is None):
        raise ReplayCodeError(code=code)
    seed = int(found["seed"])
    cancel = None if found["cancel"] is None else int(found["cancel"])
    if found["policy"] is not None:
        return Replay(trial(_NAMED[found["policy"]], seed), cancel)
    mode = _MODES[found["mode"]]
    policy: Policy = "batch" if mode == "batch" else "preemptions"
    chooser = Fixed(_deviations(found["rest"][1:]))
    return Replay(Trial(policy, seed, mode, bool(found["slack"]), chooser), cancel)


def _deviations(text: str) -> Deviations:
    found: dict[int, int] = {}
    point = -1
    for part in text.split(",") if text else ():
        gap, _, choice = part.partition(".")
        point += int(gap, 36)
        found[point] = int(choice or "1", 36)
    return found


def _spell(deviations: Deviations) -> str:
    parts: list[str] = []
    last = -1
    for point in sorted(deviations):
        gap, choice = _base36(point - last), deviations[point]
        parts.append(gap if choice == 1 else f"{gap}.{_base36(choice)}")
        last = point
    return ",".join(parts)


def _base36(number: int) -> str:
    text = ""
    while number or not text:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text
