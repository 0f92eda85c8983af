"""A schedule as a few characters that can be pasted.

Layer: testing, sans-IO. Two forms: ``os17:3,9.2`` spells every deviation out (each as its distance from the one before,
and the choice if it is not 1; base 36), so that it survives changes of how policies search; ``priorities=17`` names what
made it, for schedules with more deviations than fit. Behind a ``+`` stand the calls that faults may strike, if not all
they would: ``os17:3+0.2,1.5`` means the second call of the first name of the plan, and the fifth of its second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, TypeAlias, final

import attrs

from ._choice_core import Deviations, Fixed
from ._errors import ReplayCodeError
from ._search_core import Mode, Policy, Trial, trial

__all__ = ["LONGEST", "Replay", "Strikes", "parse", "spell"]

LONGEST: Final = 80
"""Characters a code has at most."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_NUMBER: Final = "[1-9a-z][0-9a-z]*"
_PART: Final = rf"{_NUMBER}(?:\.{_NUMBER})?"
_STRIKE: Final = rf"[0-9a-z]+\.{_NUMBER}"
_CODE: Final = re.compile(
    r"(?:(?P<mode>[ob])(?P<slack>s?)|(?P<policy>batch|one-at-a-time|priorities)=)"
    rf"(?P<seed>-?[0-9]+)(?:x(?P<cancel>[0-9]+))?(?P<rest>:(?:{_PART}(?:,{_PART})*)?)?"
    rf"(?:\+(?P<strikes>(?:{_STRIKE}(?:,{_STRIKE})*)?))?"
)
_MODES: Final[dict[str, Mode]] = {"o": "one", "b": "batch"}
_NAMED: Final[dict[str, Policy]] = {
    "batch": "batch",
    "one-at-a-time": "one-at-a-time",
    "priorities": "priorities",
}


Strikes: TypeAlias = Sequence[tuple[int, int]]
"""Calls: the number of the name in a plan of faults, from 0, and which call of that name, from 1."""


@final
@attrs.frozen
class Replay:
    """What a code stands for.

    Attributes:
        trial: the schedule.
        cancel: the step at which the program is cancelled, if it is.
        strikes: the calls that faults may strike; None: all that they would.
    """

    trial: Trial
    cancel: int | None = None
    strikes: Strikes | None = None


def spell(
    made: Trial,
    deviations: Deviations,
    cancel: int | None = None,
    strikes: Strikes | None = None,
) -> str:
    """The code of an execution of *made* that took *deviations*, with faults at *strikes* only."""
    cut = "" if cancel is None else f"x{cancel}"
    slack = "s" if made.slack else ""
    struck = "" if strikes is None else f"+{_spell_strikes(strikes)}"
    spelt = f"{made.mode[0]}{slack}{made.seed}{cut}:{_spell(deviations)}{struck}"
    if len(spelt) <= LONGEST or made.policy not in _NAMED or not made.slack:
        return spelt
    return f"{made.policy}={made.seed}{cut}{struck}"


def _spell_strikes(strikes: Strikes) -> str:
    return ",".join(f"{_base36(name)}.{_base36(call)}" for name, call in strikes)


def _strikes(text: str | None) -> Strikes | None:
    if text is None:
        return None
    parts = [part.partition(".") for part in text.split(",") if part]
    return tuple((int(name, 36), int(call, 36)) for name, _, call in parts)


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
    strikes = _strikes(found["strikes"])
    if found["policy"] is not None:
        return Replay(trial(_NAMED[found["policy"]], seed), cancel, strikes)
    mode = _MODES[found["mode"]]
    policy: Policy = "batch" if mode == "batch" else "preemptions"
    chooser = Fixed(_deviations(found["rest"][1:]))
    return Replay(Trial(policy, seed, mode, bool(found["slack"]), chooser), cancel, strikes)


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
