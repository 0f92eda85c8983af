"""What the command line may show: everything it prints passes here, redacted, or comes redacted from the engine.

Layer: cli.
"""

from __future__ import annotations

import functools
import itertools
import re
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from ..codec import to_data
from ..engine import Hidden
from ..redaction import SECRET_NAMES, Redactor
from ..state import NOTICE, hidden_values, masked
from ..types import RUNS

__all__ = [
    "REDACTOR",
    "harmless",
    "remembering",
    "shown",
    "shown_data",
    "shown_state",
    "shown_traceback",
    "state_as_data",
]

Data: TypeAlias = Any
"""What JSON holds."""

_CONTROLS: Final = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+"
)

REDACTOR: Final = Redactor(environment=SECRET_NAMES)
"""A command runs with all the secrets of a shell or a CI job in its environment."""


_SEEN: Final[list[Hidden]] = []
"""What the runs of the command that goes on have hidden."""


@contextmanager
def remembering() -> Generator[None]:
    """Hide in all that is printed within what any run hides that goes on meanwhile, and has ended since."""
    hidden = Hidden()
    before = NOTICE.see, RUNS.made, RUNS.veil
    see, made, veil = before[0] or hidden.see, before[1] or hidden.keep, before[2]

    def also_see(state: object) -> None:
        hidden.see(state)
        see(state)

    def also_made(text: str) -> None:
        hidden.keep(text)
        made(text)

    def or_all() -> Callable[[str], str]:
        return (None if veil is None else veil()) or shown

    NOTICE.see, RUNS.made, RUNS.veil = also_see, also_made, or_all
    _SEEN.append(hidden)
    try:
        yield
    finally:
        _SEEN.pop()
        NOTICE.see, RUNS.made, RUNS.veil = before


def shown(text: str) -> str:
    """*text* as it may be printed."""
    return REDACTOR.text(text, also=[value for hidden in _SEEN for value in hidden.values()])


def shown_traceback(error: BaseException) -> str:
    """Where *error* was raised and what it says, as Python tells it, as it may be printed."""
    return shown("".join(traceback.format_exception(error)))


def harmless(text: str) -> str:
    """*text* without what would move the cursor or turn the direction of reading; line breaks stay."""
    return _CONTROLS.sub(" ", text)


def shown_data(data: Data, text: Callable[[str], str] = shown, *, keys: bool = True) -> Data:
    """*data* with all its texts as they may be printed; those that are *keys* of objects, too, if they may be anything."""
    kind: type[Any] = data.__class__
    if kind is str:
        return text(data)
    if issubclass(kind, Mapping):
        named: dict[str, Data] = {}
        for key, value in data.items():
            name = _another(text(key), named) if keys else key
            named[name] = shown_data(value, text, keys=keys)
        return named
    if kind in {list, tuple}:
        return [shown_data(part, text, keys=keys) for part in data]
    return data


def _another(name: str, named: Mapping[str, Data]) -> str:
    """*name*, or if that is there already, as of two that are hidden, a name beside it: nothing is lost."""
    if name not in named:
        return name
    return next(other for at in itertools.count(2) if (other := f"{name} ({at})") not in named)


def _of(state: object) -> Callable[[str], str]:
    """What hides also the sensitive values of *state*, wherever else in it they stand."""
    return functools.partial(REDACTOR.text, also=tuple(hidden_values(state)))


def shown_state(state: object) -> object:
    """A copy of *state* for printing."""
    return masked(state, _of(state))


def state_as_data(state: object) -> Data:
    """*state* as JSON data that may be printed.

    Raises:
        CodecError: it cannot be written as JSON.
    """
    return shown_data(to_data(state), _of(state))
