"""What of a state must not be shown: the values of its sensitive fields, at any depth. Pure: no clock, no I/O.

Layer: state. Rules: a class is looked at once, when it is first forked; a state of a class that hides nothing costs
nothing after that. Whoever runs flows is told of each fork that hides something through `NOTICE`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, final, get_args, get_origin, get_type_hints

import attrs

from .._typing import override
from ..types import Secret, is_nothing, is_sensitive
from ._kinds_core import MISSING, Part, blank, extras, is_record, names_of, put

__all__ = [
    "HIDING",
    "NOTICE",
    "SENSITIVE_KEYS",
    "hidden_values",
    "hides",
    "masked",
    "masked_values",
]

HIDING: Final[set[type]] = set()
"""Classes met so far that hide something: ``type(state) in HIDING`` is the whole price for one that does not."""

SENSITIVE_KEYS: Final[set[str]] = set()
"""Names of all sensitive `StateKey`s: two keys of one name mean one value, so the name decides."""

_MOST: Final = 10_000
"""Parts of one state that are looked at; more would keep the loop for longer than 10 ms."""


@final
class Notice:
    """Who wants to know of states that hide something: set by who runs flows."""

    see: Callable[[object], object] | None = None


NOTICE: Final = Notice()


def hides(kind: type) -> bool:
    """Whether instances of the attrs class *kind* hold anything that must not be shown, as far as annotations tell.

    A `Secret`, too: it is known while it lives, and a run hides it to its end.
    """
    if kind not in HIDING and _reaches(kind, {kind}):
        HIDING.add(kind)
    return kind in HIDING


def _reaches(kind: type, seen: set[type]) -> bool:
    fields = attrs.fields(kind)
    if any(is_sensitive(field) for field in fields):
        return True
    try:
        hints = get_type_hints(kind)
    except Exception:  # noqa: BLE001 - an annotation may be any expression, and be there for checkers only
        hints = {field.name: field.type for field in fields}
    return any(_leads(hint, seen) for hint in hints.values())


def _leads(hint: Part, seen: set[type]) -> bool:
    inside = get_args(hint)
    if inside:
        return any(_leads(part, seen) for part in (get_origin(hint), *inside))
    if not isinstance(hint, type):
        return False
    if hint is Secret:
        return True
    if hint in seen or not attrs.has(hint):
        return False
    seen.add(hint)
    return _reaches(hint, seen)


# ---------------------------------------------------------------- reading


def hidden_values(state: object) -> Iterator[str]:
    """The texts that must not be shown of *state* as it is now: of sensitive fields and keys, of what they hold, and of secrets.

    Numbers are given as they would be printed, bytes as text; those that are none stand as lone surrogates in it. Of very large states the first 10,000 parts are looked at.
    """
    todo: deque[tuple[Part, bool]] = deque([(state, False)])
    seen: dict[tuple[int, bool], Part] = {}  # kept alive: another at its address is another
    for _ in range(_MOST):
        if not todo:
            return
        value, sensitive = todo.popleft()
        kind: type[Any] = value.__class__
        if kind is Secret:
            yield value.reveal()
            continue
        if kind in _SILENT or (id(value), sensitive) in seen:
            continue
        if not issubclass(kind, (str, int, float, bytes, bytearray)):
            seen[id(value), sensitive] = value
            todo.extendleft(reversed([*_parts(value, kind, sensitive=sensitive)]))
        elif sensitive:
            binary = issubclass(kind, (bytes, bytearray))
            yield value.decode(errors="surrogateescape") if binary else str(value)


_SILENT: Final = frozenset({bool, type(None)})


def _parts(value: Part, kind: type, *, sensitive: bool) -> Iterable[tuple[Part, bool]]:
    if hasattr(kind, "__agentflow_values__"):
        values: Mapping[str, Part] = value.__agentflow_values__()
        return [(part, sensitive or name in SENSITIVE_KEYS) for name, part in values.items()]
    if is_record(kind):
        return [
            (getattr(value, field.name, None), sensitive or is_sensitive(field))
            for field in attrs.fields(kind)
        ]
    if issubclass(kind, Mapping):
        keys = [(key, True) for key in value] if sensitive else []
        return [*keys, *((part, sensitive) for part in value.values())]
    if issubclass(kind, (list, tuple, deque, AbstractSet)):
        return [(part, sensitive) for part in value]
    return [(str(value), True)] if sensitive else []


# ---------------------------------------------------------------- showing


@final
class _Shown(str):
    """Stands for a value in a copy that is to be printed; a text, which is what most own ways of printing expect."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return str(self)


def masked(state: Part, text: Callable[[str], str], placeholder: str = "***") -> Part:
    """A copy of *state* for printing: *placeholder* for what is sensitive, every text and ``repr`` in it through *text*."""
    return _Masking(text, _Shown(placeholder)).of(state)


def masked_values(values: Mapping[str, Part]) -> Mapping[str, Part]:
    """The *values* of a state of keys for printing."""
    hidden = _Shown("***")
    return {
        name: hidden if name in SENSITIVE_KEYS and not is_nothing(one) else one
        for name, one in values.items()
    }


@final
class _Masking:
    """One such copy in the making."""

    def __init__(self, text: Callable[[str], str], hidden: _Shown) -> None:
        self._text = text
        self._hidden = hidden
        self._above: list[int] = []

    def of(self, value: Part) -> Part:
        kind: type[Any] = value.__class__
        if kind in _NUMBERS:
            return value
        if kind is str:
            return self._text(value)
        if id(value) in self._above:
            return _Shown("...")
        self._above.append(id(value))
        try:
            return self._whole(value, kind)
        except TypeError:  # a set of what, masked, has no hash
            return self._shown(value)
        finally:
            self._above.pop()

    def _whole(self, value: Part, kind: type[Any]) -> Part:
        if is_record(kind):
            return self._record(value, kind)
        if kind is dict:
            named: dict[Part, Part] = {}
            for key, one in value.items():
                name = self.of(key)
                # two that are hidden are two entries still
                again = f"{name!r} ({len(named) + 1})"
                named[_Shown(again) if name in named else name] = self.of(one)
            return named
        if kind in _ITEMS:
            return kind(map(self.of, value))
        return self._shown(value)

    def _shown(self, value: object) -> _Shown:
        try:
            text = repr(value)
        except Exception as error:  # noqa: BLE001 - a class of the user's may raise anything
            text = f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
        return _Shown(self._text(text))

    def _record(self, value: Part, kind: type[Any]) -> Part:
        new: Part = blank(kind)
        keyed = hasattr(kind, "__agentflow_values__")
        sensitive = {field.name for field in attrs.fields(kind) if is_sensitive(field)}
        for name in (*names_of(kind), *extras(value)):
            one: Part = getattr(value, name, MISSING)
            if keyed:
                put(new, name, self._keyed(one) if name == "_values" else one)
            elif one is not MISSING:
                put(new, name, self._hide(one) if name in sensitive else self.of(one))
        return new

    def _keyed(self, values: Mapping[str, Part]) -> Mapping[str, Part]:
        return {
            name: self._hide(one) if name in SENSITIVE_KEYS else self.of(one)
            for name, one in values.items()
        }

    def _hide(self, value: Part) -> Part:
        return value if is_nothing(value) else self._hidden


_NUMBERS: Final = frozenset({bool, int, float, complex, type(None)})
_ITEMS: Final = frozenset({list, tuple, set, frozenset})
