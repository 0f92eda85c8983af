"""``--chaos NAME`` and ``--chaos NAME=RATE``: a drill for as long as a command goes on.

Layer: cli. Rules: what is not named is off; a name that nothing has is refused before anything runs; what is on, and what
it did, is said.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._exit import UsageError
from ._loading import did_you_mean

if TYPE_CHECKING:
    from ..robustness import Drilled

__all__ = ["drilling"]


@contextmanager
def drilling(
    asked: Sequence[str], say: Callable[[str], object]
) -> Generator[Mapping[str, Drilled | None]]:
    """Turn on the chaos that is *asked* for, as it was typed, and *say* what is on and, in the end, what it did.

    What is given has in the end by name what each did; None: it met nobody.

    Raises:
        UsageError: there is no chaos of that name, or that is no rate; all mistakes at once.
    """
    done: dict[str, Drilled | None] = {}
    if not asked:
        yield done
        return
    from ..robustness import Drill  # noqa: PLC0415 - 10 ms that others need not pay

    rates = _rates(asked, Drill.names())
    for name, rate in rates.items():
        say(f"chaos {name} is on, {'at its own rate' if rate is None else f'rate {rate:g}'}")
    drill = Drill(rates)
    try:
        with drill:
            yield done
    finally:
        for name in rates:
            done[name] = drill.did.get(name)
            say(f"chaos {name} {_words(done[name])}")


def _rates(asked: Sequence[str], known: Sequence[str]) -> Mapping[str, float | None]:
    rates: dict[str, float | None] = {}
    problems: list[str] = []
    for text in asked:
        # a name may have an equals sign in it
        name, _, rate = (text, "", "") if text in known else text.rpartition("=")
        name = name or text
        if name not in known:
            problems.append(f"there is no chaos {name!r}{did_you_mean(name, known)}")
        elif name in rates:
            problems.append(f"chaos {name!r} is given twice")
        elif (share := _share(rate)) is not None or text == name:
            rates[name] = share
        else:
            problems.append(
                f"the rate of chaos {name!r} must be a number from 0 to 1, not {rate!r}"
            )
    if problems:
        found = f"There is: {', '.join(known)}." if known else _NONE
        problem = f"--chaos: {problems[0]}" if len(problems) == 1 else "--chaos:"
        details = () if len(problems) == 1 else tuple(problems)
        raise UsageError(problem=problem, details=details, hint=found)
    return rates


_NONE = "Nothing that the target imports makes a Chaos(...)."


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0.0 <= share <= 1.0 else None


def _words(did: Drilled | None) -> str:
    if did is None:
        return "met nobody"
    faults = ", ".join(f"{count} {fault}" for fault, count in did.injected.items())
    return f"struck {did.struck} of {did.calls}{f': {faults}' if faults else ''}"
