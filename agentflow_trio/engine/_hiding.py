"""What the texts of a run must not show, and who takes it out: once, before anybody sees them.

Layer: engine. Rules: only texts that somebody reads pass here, nothing of the hot path; values are looked at when a text
is made, so that later ones are known, too; a run and those that its nodes began hide the same values.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final

import attrs

from .._typing import TypeIs, override
from ..errors import AgentFlowError, RejectedError
from ..state import hidden_values

if TYPE_CHECKING:
    from ..errors import Mismatch
    from ..redaction import Redactor

__all__ = ["Hidden", "Veil", "conceal"]

_FIRST: Final = threading.RLock()
"""Secrets may be made in threads, at once: what is hidden first must not be forgotten."""
_VALUES: Final = 1_000
_STATES: Final = 100
"""So many of the last states of a run are looked at for a text; of older ones is known what they held when made."""


@final
class Hidden:
    """The values that a run, and those that its nodes began, must not show: the last thousand that there were."""

    __slots__ = ("_lock", "_states", "_values")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, None] = {}
        self._states: dict[int, weakref.ref[object]] = {}

    def see(self, state: object) -> None:
        """Take the values of *state* as they are now, and look again for every text while it lives."""
        self.take(state)
        known = self._states.pop(id(state), None)
        if known is None or known() is not state:
            try:
                known = weakref.ref(state)
            except TypeError:  # its class has no room for them: it was looked at, if only now
                return
        self._states[id(state)] = known
        if len(self._states) > _STATES:
            del self._states[next(iter(self._states))]

    def take(self, state: object) -> None:
        """Take the values of *state* as they are now."""
        with contextlib.suppress(
            Exception
        ):  # a class of the user's may raise anything when it is looked into
            for value in hidden_values(state):
                self.keep(value)

    def keep(self, value: str) -> None:
        """Hide *value* from now on. From any thread."""
        with self._lock:
            self._values.pop(value, None)
            self._values[value] = None
            if len(self._values) > _VALUES:
                del self._values[next(iter(self._values))]

    def values(self) -> tuple[str, ...]:
        """All of them."""
        for reference in [*self._states.values()]:
            state = reference()
            if state is not None:
                self.take(state)
        return tuple(self._values)


@final
class Veil:
    """Makes of a text what may be shown of it: ``veil(text)``. A pickle of it forgets the values."""

    __slots__ = ("_around", "_hidden", "_redactor")

    def __init__(self, redactor: Redactor | None, around: Veil | None = None) -> None:
        """Hide what *redactor* does, and the values of the run; *around*: the veil of the run whose node began it."""
        self._redactor = redactor
        self._around = around
        self._hidden: Hidden | None = None

    @property
    def redactor(self) -> Redactor:
        """The one given, or that of the run around, or the usual one."""
        if self._redactor is None:
            from ..redaction import Redactor  # noqa: PLC0415 - most runs have nothing to tell

            self._redactor = Redactor() if self._around is None else self._around.redactor
        return self._redactor

    @property
    def hidden(self) -> Hidden | None:
        """Values of states, if there are any that must not be shown, those of the runs around included."""
        if self._hidden is None and self._around is not None:
            self._hidden = self._around.hidden
        return self._hidden

    def share(self) -> Hidden:
        """What is hidden here and around, which may come to tell of what was raised inside; from now on there is some."""
        with _FIRST:
            if self._hidden is None:
                self._hidden = Hidden() if self._around is None else self._around.share()
            return self._hidden

    def __call__(self, text: str, /) -> str:
        """*text*, as it may be shown."""
        hidden = self.hidden
        return self.redactor.text(text, also=() if hidden is None else hidden.values())

    @override
    def __reduce__(self) -> tuple[type[Veil], tuple[Redactor | None]]:
        return Veil, (self._redactor,)


def conceal(error: BaseException, veil: Veil) -> None:
    """Take what must not be shown out of the fields of *error*, if it is one of ours: others are the user's."""
    if isinstance(error, RejectedError) and "[" not in error.guard:
        return  # it has names only, and there may be many; of a keyed guard the name has what it was asked for
    if not isinstance(error, AgentFlowError):
        return
    for name in error.fields:
        before: object = getattr(error, name)
        after = _concealed(before, veil)
        if after is not before:
            setattr(error, name, after)


def _concealed(value: object, veil: Veil) -> object:
    if isinstance(value, str):
        return veil(value)
    from .._records import Mismatch  # noqa: PLC0415 - what ends well has no use for it

    if isinstance(value, Mismatch):
        return attrs.evolve(value, **dict(_shown_fields(value, veil)))
    if _is_tuple(value):
        return tuple(_concealed(one, veil) for one in value)
    return value


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)


def _shown_fields(value: Mismatch, veil: Veil) -> Iterator[tuple[str, str]]:
    for name in ("path", "expected", "got"):
        yield name, veil(getattr(value, name))
