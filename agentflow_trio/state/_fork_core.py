"""What a fork copies and what it shares. Pure: no clock, no I/O.

A value that cannot change is shared, however large it is; a value that can change is copied, once, even when
several places hold it. For each attrs class a straight-line function is generated when it is first met: 0.26 us
for four plain fields, where a loop over them takes 0.43 and ``copy.copy`` 2.2.

Layer: state. Rules: no ``__init__``, validator or converter of the state runs; a field that is not set stays so.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from types import MappingProxyType, MemberDescriptorType
from typing import Any, Final, TypeAlias, TypeVar

from ..errors import StateForkError
from ._hidden_core import NOTICE, hides
from ._kinds_core import (
    CACHED_HASH,
    MISSING,
    SHARED,
    Part,
    blank,
    check_state,
    extras,
    is_frozen,
    is_record,
    is_shared,
    is_tuple,
    names_of,
    put,
)

__all__ = ["Memo", "fork", "fork_fields", "fork_part"]

State = TypeVar("State")

Memo: TypeAlias = dict[int, Any]
"""What was copied already, by the id of the original; the format of ``copy.deepcopy``, which shares it."""

Copier: TypeAlias = Callable[[Any, Memo], Any]


def fork(state: State) -> State:
    """Return a copy of *state* that can be changed without the original noticing, and the other way round.

    Copied, at any depth, is what can change: lists, dicts, sets, deques, bytearrays, attrs instances that are not
    frozen, and by ``copy.deepcopy`` whatever is unknown. Shared is what cannot: numbers, text, bytes, dates, enums,
    paths, functions, classes, exceptions, and tuples, frozensets and frozen attrs instances that hold nothing else.
    What two places of the state hold in common, the same two places of the fork hold in common. An object with
    ``__agentflow_fork__`` (`agentflow_trio.ports.Forkable`) forks itself. Not a checkpoint.

    Raises:
        StateTypeError: *state* is not an instance of an attrs class.
        StateForkError: a value in it can be neither shared nor copied; the error names the place.
    """
    kind: type = type(state)
    forker = _FORKERS.get(kind)
    if forker is None:
        check_state(state)
        forker = _FORKERS[kind] = _forks_itself if _has_hook(kind) else generated(kind)
    try:
        forked: State = forker(state)
    except StateForkError as error:
        error.field = f"{kind.__name__}{error.field}"
        raise
    except RecursionError:
        raise _too_deep(kind.__name__) from None
    return forked


def fork_fields(state: State) -> State:
    """Fork an attrs instance field by field, even if it has ``__agentflow_fork__``: for use by that very method."""
    kind: type = type(state)
    forked: State = generated(kind)(state)
    return forked


def fork_part(value: object, memo: Memo, place: str) -> Part:
    """Fork one value of a state; *place* (``.client``) is put before what an error says of where it is."""
    kind = type(value)
    if kind in SHARED:
        return value
    known = memo.get(id(value), MISSING)
    if known is not MISSING:
        return known
    try:
        return (_COPIERS.get(kind) or _copier_of(kind))(value, memo)
    except StateForkError as error:
        error.field = f"{place}{error.field}"
        raise


def _fork_item(item: Part, memo: Memo, key: object) -> Part:
    try:
        return fork_part(item, memo, "")
    except StateForkError as error:
        error.field = f"[{key!r}]{error.field}"
        raise


# ---------------------------------------------------------------- which way a class is forked


def _copier_of(kind: type) -> Copier:
    """Decide once how instances of *kind* are forked."""
    copier = _decide(kind)
    if copier is _share:
        SHARED.add(kind)
    else:
        _COPIERS[kind] = copier
    return copier


def _decide(kind: type) -> Copier:
    if _has_hook(kind):
        return _forks_itself
    if is_shared(kind):
        return _share
    if kind.__module__.partition(".")[0] == "trio":
        return _refuse
    if is_record(kind):
        return generated(kind)
    return _fork_tuple if is_tuple(kind) else _fork_unknown


def _has_hook(kind: type) -> bool:
    # Looked up here, once per class: isinstance against a Protocol takes 4 us.
    return callable(getattr(kind, "__agentflow_fork__", None))


def _share(value: Part, _memo: Memo) -> Part:
    return value


def _forks_itself(value: Part, memo: Memo | None = None) -> Part:
    new = value.__agentflow_fork__()
    if memo is not None:
        memo[id(value)] = new
    return new


def _refuse(value: object, _memo: Memo) -> Part:
    # A trio.Event is an attrs class and would be copied field by field; nobody would ever set the copy.
    reason = "tasks that wait for the original would not know the copy"
    raise StateForkError(field="", got=f"trio.{type(value).__name__}", reason=reason)


def _fork_unknown(value: object, memo: Memo) -> object:
    try:
        return copy.deepcopy(value, memo)
    except RecursionError:
        raise _too_deep("") from None
    except Exception as error:
        raise StateForkError(
            field="", got=type(value).__name__, reason=str(error) or repr(error)
        ) from error


def _too_deep(place: str) -> StateForkError:
    return StateForkError(
        field=place, got="value", reason="it is nested deeper than Python's recursion limit"
    )


# ---------------------------------------------------------------- built-in containers
# `_all_shared` looks at the items at the speed of C and stops at the first that may change. A container that can
# change enters the memo before its items are forked, since one of them may hold that very container.


def _all_shared(items: Iterable[object]) -> bool:
    return SHARED.issuperset(map(type, items))


def _parts(items: Iterable[Any], memo: Memo) -> list[Any]:
    return [
        item if type(item) in SHARED else _fork_item(item, memo, at)
        for at, item in enumerate(items)
    ]


def _same_objects(left: Iterable[object], right: Iterable[object]) -> bool:
    return all(mine is yours for mine, yours in zip(left, right, strict=True))


def _fork_list(value: list[Any], memo: Memo) -> list[Any]:
    new: list[Part] = []
    memo[id(value)] = new
    new += value if _all_shared(value) else _parts(value, memo)
    return new


def _fork_deque(value: deque[Any], memo: Memo) -> deque[Any]:
    new: deque[Part] = deque(maxlen=value.maxlen)
    memo[id(value)] = new
    new += value if _all_shared(value) else _parts(value, memo)
    return new


def _fork_set(value: set[Any], memo: Memo) -> set[Any]:
    new: set[Part] = set()
    memo[id(value)] = new
    new.update(value if _all_shared(value) else _parts(value, memo))
    return new


def _fork_dict(value: dict[Any, Any], memo: Memo) -> dict[Any, Any]:
    new: dict[Part, Part] = {}
    memo[id(value)] = new
    if _all_shared(value) and _all_shared(value.values()):
        new.update(value)
    else:
        for key, item in value.items():
            new[fork_part(key, memo, f"[{key!r}]")] = _fork_item(item, memo, key)
    return new


def _fork_proxy(value: MappingProxyType[Any, Any], memo: Memo) -> MappingProxyType[Any, Any]:
    items = {
        fork_part(key, memo, f"[{key!r}]"): _fork_item(item, memo, key)
        for key, item in value.items()
    }
    new = memo[id(value)] = MappingProxyType(items)
    return new


def _fork_bytearray(value: bytearray, memo: Memo) -> bytearray:
    new = memo[id(value)] = bytearray(value)
    return new


# Named tuples and others of their kind want their items one by one, in their own `__new__`.
_new_tuple: Final[Callable[..., tuple[Part, ...]]] = vars(tuple)["__new__"]


def _fork_tuple(value: tuple[Part, ...], memo: Memo) -> Part:
    if _all_shared(value):
        return value
    parts = _parts(value, memo)
    if _same_objects(parts, value):
        return value
    # A list inside that holds this very tuple has forked it meanwhile.
    return memo.setdefault(id(value), _new_tuple(type(value), parts))


def _fork_frozenset(value: frozenset[Any], memo: Memo) -> frozenset[Any]:
    if _all_shared(value):
        return value
    items = tuple(value)
    parts = _parts(items, memo)
    return value if _same_objects(parts, items) else frozenset(parts)


_COPIERS: Final[dict[type, Copier]] = {
    list: _fork_list,
    deque: _fork_deque,
    set: _fork_set,
    dict: _fork_dict,
    MappingProxyType: _fork_proxy,
    bytearray: _fork_bytearray,
    tuple: _fork_tuple,
    frozenset: _fork_frozenset,
}
_FORKERS: Final[dict[type, Callable[[Any], Any]]] = {}


# ---------------------------------------------------------------- attrs classes


def _fork_loosely(old: State, memo: Memo | None) -> State:
    """Fork an instance with fields that are not set, or attributes that are not fields."""
    memo = {} if memo is None else memo
    new = memo[id(old)] = blank(type(old))
    for name in (*names_of(type(old)), *extras(old)):
        value = getattr(old, name, MISSING)
        if value is not MISSING:
            put(new, name, fork_part(value, memo, f".{name}"))
    if CACHED_HASH in getattr(old, "__dict__", ()):
        put(new, CACHED_HASH, None)
    return new


@cache
def generated(kind: type) -> Callable[..., Any]:
    """Make the function that forks instances of the attrs class *kind*."""
    namespace: dict[str, Any] = {
        "SHARED": SHARED,
        "all_shared": _all_shared,
        "blank": blank,
        "fork_loosely": _fork_loosely,
        "fork_part": fork_part,
        "kind": kind,
        "make": object.__new__,
        "put": put,
    }
    source = _frozen_source(kind) if is_frozen(kind) else _source(kind)
    exec(compile(source, f"<fork of {kind.__qualname__}>", "exec"), namespace)  # noqa: S102 - made of field names only
    function: Callable[..., Any] = namespace["fork_it"]
    return _noticed(function) if hides(kind) else function


def _noticed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let who runs flows know of each fork, whose values must not be shown."""

    def fork_it(old: Part, memo: Memo | None = None) -> Part:
        new = function(old, memo)
        if NOTICE.see is not None:
            NOTICE.see(new)
        return new

    return fork_it


def _read(kind: type) -> str:
    """The lines that take every field into a variable of its own, or leave instances that are not plain to a loop."""
    names = names_of(kind)
    held = sum(
        not isinstance(getattr(kind, name, None), MemberDescriptorType) for name in names
    )
    # A frozen instance has at most cached properties beside its fields.
    more = kind.__dictoffset__ and not is_frozen(kind)
    loosely = (
        f"\n    if len(old.__dict__) > {held}:\n        return fork_loosely(old, memo)"
        if more
        else ""
    )
    reads = "".join(f"\n        v{at} = old.{name}" for at, name in enumerate(names))
    return f"""
def fork_it(old, memo=None):{loosely}
    try:
        pass{reads}
    except AttributeError:
        return fork_loosely(old, memo)"""


def _all_plain(kind: type) -> str:
    """The test that nothing must be copied; tuples of plain values, the usual kind of list, have a word in it."""
    test = "(type(v{0}) in SHARED or type(v{0}) is tuple and all_shared(v{0}))"
    return " and ".join(test.format(at) for at, _ in enumerate(names_of(kind))) or "True"


def _source(kind: type) -> str:
    names, setter = names_of(kind), getattr(kind, "__setattr__", None)
    make = "blank(kind)" if hasattr(kind, CACHED_HASH) else "make(kind)"
    part = "\n        v{0} = v{0} if type(v{0}) in SHARED else fork_part(v{0}, memo, '.{1}')"
    parts = "".join(part.format(at, name) for at, name in enumerate(names))
    write = "\n    new.{1} = v{0}" if setter is put else "\n    put(new, '{1}', v{0})"
    writes = "".join(write.format(at, name) for at, name in enumerate(names))
    return f"""{_read(kind)}
    new = {make}
    if not ({_all_plain(kind)}):
        memo = {{}} if memo is None else memo
        memo[id(old)] = new{parts}
    elif memo is not None:
        memo[id(old)] = new{writes}
    return new
"""


def _frozen_source(kind: type) -> str:
    """Like `_source`, but what holds nothing that can change is shared: ``new`` is used only if a part was copied."""
    names = names_of(kind)
    parts = "".join(
        f"\n    n{at} = fork_part(v{at}, memo, '.{name}')" for at, name in enumerate(names)
    )
    same = " and ".join(f"n{at} is v{at}" for at, _ in enumerate(names)) or "True"
    writes = "".join(f"\n    put(new, '{name}', n{at})" for at, name in enumerate(names))
    return f"""{_read(kind)}
    if {_all_plain(kind)}:
        return old
    memo = {{}} if memo is None else memo
    new = memo[id(old)] = blank(kind){parts}
    if {same}:
        memo[id(old)] = old
        return old{writes}
    return new
"""
