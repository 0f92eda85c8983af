"""What the command line may show: everything it prints passes here, redacted, or comes redacted from the engine.

Layer: cli.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ..codec import to_data
from ..redaction import SECRET_NAMES, Redactor
from ..state import hidden_values, masked

__all__ = ["REDACTOR", "shown", "shown_data", "shown_state", "state_as_data"]

Data: TypeAlias = Any
"""What JSON holds."""

REDACTOR: Final = Redactor(environment=SECRET_NAMES)
"""A command runs with all the secrets of a shell or a CI job in its environment."""


def shown(text: str) -> str:
    """*text* as it may be printed."""
    return REDACTOR.text(text)


def shown_data(data: Data, text: Callable[[str], str] = shown) -> Data:
    """*data* with all its texts, keys of objects included, as they may be printed."""
    kind: type[Any] = data.__class__
    if kind is str:
        return text(data)
    if issubclass(kind, Mapping):
        return {text(key): shown_data(value, text) for key, value in data.items()}
    if kind in {list, tuple}:
        return [shown_data(part, text) for part in data]
    return data


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
