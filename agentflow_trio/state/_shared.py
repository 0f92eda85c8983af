"""The seed's blackboard: one more state, whose values sit under typed keys instead of fields.

Layer: state. Rules: a state is safe from the threads a node hops to (one reentrant lock each; `update` is atomic),
and branches never share one: a lock prevents torn writes, forks and merges prevent lost ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    Self,
    TypeGuard,
    TypeVar,
    Union,
    final,
    get_origin,
    overload,
)

import attrs

from .._typing import override
from ..errors import StateForkError, StateKeyError
from ..types import sensitive as marked
from ._fork_core import Memo, fork_fields
from ._hidden_core import HIDING, NOTICE, SENSITIVE_KEYS, masked_values
from ._kinds_core import MISSING, names_of
from ._merge_core import WHOLE, Branches, merged_mapping
from ._rules import Rule

__all__ = ["SharedState", "StateKey"]

Value = TypeVar("Value")
Default = TypeVar("Default")


@final
@attrs.frozen
class StateKey(Generic[Value]):
    """A typed key of a `SharedState`: ``DRAFT = StateKey("draft", str)``.

    Attributes:
        name: what the value is stored under; two keys of one name mean one value.
        kind: the class of the value, such as ``str`` or ``tuple[str, ...]``. What is stored is checked against the
            class only, not against what stands in the brackets.
        rule: what becomes of it when several branches write it (see `merged_by`); None makes that a conflict.
        sensitive: the value must not be shown (see `sensitive`), be it stored under this key or another of its name.

    Raises:
        TypeError: *kind* is not a class (a union or a Literal, say).
    """

    name: str
    kind: type[Value]
    rule: Callable[[Value, Value, Value], Value] | None = attrs.field(default=None, eq=False)
    sensitive: bool = attrs.field(default=False, eq=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.sensitive:
            SENSITIVE_KEYS.add(self.name)
        if not isinstance(_class_of(self.kind), type):
            raise TypeError(f"StateKey({self.name!r}, ...) needs a class, not {self.kind!r}")

    def __agentflow_fork__(self) -> Self:
        return self

    def fits(self, value: object) -> TypeGuard[Value]:
        """Whether *value* may be stored under this key: an int may as a float, a bool not as an int."""
        kind = _class_of(self.kind)
        if kind is float:
            return type(value) is int or isinstance(value, float)
        if kind is int and isinstance(value, bool):
            return False
        return isinstance(kind, type) and isinstance(value, kind)


def _class_of(kind: object) -> object:
    """The class to check values against; *kind* itself, which is none then, if it is a union or the like."""
    origin: object = get_origin(kind)
    return kind if origin in {None, Annotated, Union, UnionType} else origin


class _Lock:
    """A reentrant lock that a copy, a fork or a pickle of its owner does not share."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_exc: object) -> None:
        self._lock.release()

    def __agentflow_fork__(self) -> _Lock:
        return _Lock()

    @override
    def __reduce__(self) -> tuple[type[_Lock], tuple[()]]:
        return _Lock, ()


def _declared_rules(state: SharedState) -> dict[str, Rule]:
    return {key.name: key.rule for key in _declared(type(state)) if key.rule is not None}


@attrs.define
class SharedState:
    """Values under typed keys, for those who want a blackboard instead of fields.

    It is an attrs class, so it is forked and merged like any state, key by key; a key removed by one branch and
    changed by another is a conflict. For JSON, declare the keys in a subclass::

        class Board(SharedState):
            DRAFT = StateKey("draft", str)
            NOTES = StateKey("notes", tuple[str, ...], rule=added)

    Every method may be called from the threads a node hops to. None is a checkpoint.
    """

    def _merged_values(self, branches: Branches, memo: Memo) -> dict[str, object]:
        rules = self._merged_rules(branches, memo)
        values = [(name, state.__agentflow_values__()) for name, state in branches]
        return merged_mapping(type(self).__name__, rules, self._values, values, memo)

    def _merged_rules(self, branches: Branches, _memo: Memo) -> dict[str, Rule]:
        rules = dict(self._rules)
        for _, state in branches:
            rules.update(state.__agentflow_rules__())
        return rules

    _values: dict[str, object] = attrs.field(
        init=False, factory=dict[str, object], metadata={WHOLE: _merged_values}
    )
    _rules: dict[str, Rule] = attrs.field(
        init=False,
        default=attrs.Factory(_declared_rules, takes_self=True),
        eq=False,
        repr=False,
        metadata={WHOLE: _merged_rules},
    )
    _lock: _Lock = attrs.field(init=False, factory=_Lock, eq=False, repr=False)

    @override
    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _declared(cls)

    @overload
    def get(self, key: StateKey[Value], /) -> Value | None: ...
    @overload
    def get(self, key: StateKey[Value], default: Default, /) -> Value | Default: ...
    def get(
        self, key: StateKey[Value], default: Default | None = None, /
    ) -> Value | Default | None:
        """Return the value under *key*, or *default* if there is none.

        Raises:
            TypeError: the value was stored under another key of this name and is of another class.
        """
        value = self._values.get(key.name, MISSING)
        return default if value is MISSING else _checked(key, value)

    def __getitem__(self, key: StateKey[Value], /) -> Value:
        """Return the value under *key*.

        Raises:
            StateKeyError: there is none; the error names keys that look alike.
            TypeError: the value was stored under another key of this name and is of another class.
        """
        value = self._values.get(key.name, MISSING)
        if value is MISSING:
            from difflib import get_close_matches  # noqa: PLC0415 - for who makes a mistake; 0.6 ms

            near = tuple(get_close_matches(key.name, list(self)))
            raise StateKeyError(key=key.name, near=near)
        return _checked(key, value)

    def insert(self, key: StateKey[Value], value: Value, /) -> None:
        """Store *value* under *key*, in place of any before it.

        Raises:
            TypeError: *value* is not of the key's class.
        """
        checked = _checked(key, value)
        with self._lock:
            self._see(key)
            self._values[key.name] = checked
            if key.rule is not None:
                self._rules[key.name] = key.rule

    def update(self, key: StateKey[Value], change: Callable[[Value], Value], /) -> Value:
        """Store ``change(value)`` under *key* and return it; no other thread can write in between.

        Other threads wait while *change* runs, so it should be quick; it may use this state.

        Raises:
            StateKeyError: there is no value under *key* to change.
            TypeError: what *change* returned is not of the key's class.
        """
        with self._lock:
            value = change(self[key])
            self.insert(key, value)
            return value

    def remove(self, key: StateKey[Value], /) -> Value | None:
        """Remove the value under *key* and return it; None if there was none.

        Raises:
            TypeError: the value is of another class than the key's; it stays.
        """
        with self._lock:
            value = self.get(key)
            self._see(key)
            self._values.pop(key.name, None)
            return value

    def _see(self, key: StateKey[Any]) -> None:
        """Have the value under *key* hidden still when it is no longer there."""
        if key.name in SENSITIVE_KEYS and key.name in self._values and NOTICE.see is not None:
            NOTICE.see(self)

    def contains_key(self, key: StateKey[Any], /) -> bool:
        """Whether there is a value under *key*."""
        return key.name in self._values

    def is_empty(self) -> bool:
        """Whether there is no value at all."""
        return not self._values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        """The names of the keys that have a value now, in the order they were first stored."""
        with self._lock:
            return iter([*self._values])

    @override
    def __repr__(self) -> str:
        with self._lock:
            return f"{type(self).__name__}({masked_values(self._values)!r})"

    def __agentflow_rules__(self) -> Mapping[str, Rule]:
        return self._rules

    def __agentflow_fork__(self) -> Self:
        try:
            with self._lock:
                forked = fork_fields(self)
        except StateForkError as error:
            error.field = error.field.removeprefix("._values")
            raise
        if SENSITIVE_KEYS:
            HIDING.add(type(self))
            if NOTICE.see is not None:
                NOTICE.see(forked)
        return forked

    @classmethod
    def __agentflow_keys__(cls) -> Mapping[str, Any]:
        more = [name for name in names_of(cls) if name not in names_of(SharedState)]
        if more:
            raise TypeError(f"{cls.__name__}.{more[0]} is a field; for JSON make it a StateKey")
        return {
            key.name: Annotated[key.kind, marked] if key.name in SENSITIVE_KEYS else key.kind
            for key in _declared(cls)
        }

    def __agentflow_values__(self) -> Mapping[str, object]:
        with self._lock:
            return dict(self._values)

    @classmethod
    def __agentflow_make__(cls, values: Mapping[str, object]) -> Self:
        state = cls()
        state._values.update(values)
        return state


def _checked(key: StateKey[Value], value: object) -> Value:
    if not key.fits(value):
        name = (
            getattr(key.kind, "__name__", "") if get_origin(key.kind) is None else str(key.kind)
        )
        raise TypeError(f"{key.name!r} holds a value of {name}, not of {type(value).__name__}")
    return value


def _declared(kind: type[SharedState]) -> tuple[StateKey[Any], ...]:
    """The keys a subclass declares, inherited ones first."""
    keys: dict[str, StateKey[Any]] = {}
    for parent in reversed(kind.__mro__):
        own: list[StateKey[Any]] = [
            value for value in vars(parent).values() if isinstance(value, StateKey)
        ]
        for key in own:
            if sum(other.name == key.name for other in own) > 1:
                raise TypeError(f"{parent.__name__} declares two keys named {key.name!r}")
            keys[key.name] = key
    return tuple(keys.values())
