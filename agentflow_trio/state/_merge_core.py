"""Three-way merge of a state's forks into a new state. Pure: no clock, no I/O.

Layer: state. Rules: a field is judged against the base all branches were forked from; all branches are merged at
once, in declared order; nothing that is given is changed, and when something cannot be merged, nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from ..errors import MergeConflictError
from ._fork_core import Memo, fork_part
from ._hidden_core import HIDING, NOTICE
from ._kinds_core import MISSING, Missing, Part, blank, check_state, extras, put
from ._rules import RULE, Rule, UnmergeableError, combined
from ._same_core import same

__all__ = ["WHOLE", "Branches", "merge", "merged_mapping"]

State = TypeVar("State")

Branches: TypeAlias = Sequence[tuple[str, Any]]
"""Each branch's name and what it made of the state (or of a field), in declared order."""

Merger: TypeAlias = Callable[[Any, Branches, Memo], Any]

WHOLE: Final = "agentflow_trio.merge_whole"
"""Metadata for a field of this package's own whose merge must see the states: a `Merger` of them."""


def merge(base: State, branches: Sequence[tuple[str, State]]) -> State:
    """Return a new state with the changes of all *branches*: the name and state of forks of *base*, in declared order.

    A field that one branch changed has that branch's value. One that several changed is merged by its rule
    (`merged_by`); without a rule it is a conflict. Both hold even if they wrote the same: two branches that each count
    one from the same base do, and count two. What all have removed is removed. The new state shares nothing that can
    change with *base*. What a branch wrote is taken over as it is, so the branches should not be used any more. Not a
    checkpoint.

    Raises:
        MergeConflictError: several branches changed a field that has no rule, or whose rule refuses.
        StateTypeError: *base* is not an instance of an attrs class.
        StateForkError: a value in *base* can be neither shared nor copied.
        TypeError: a branch is of another class than *base*.
    """
    kind: type[State] = type(base)
    mergers = _MERGERS.get(kind)
    if mergers is None:
        check_state(base)
        mergers = _MERGERS[kind] = _mergers_of(kind)
    for name, state in branches:
        if type(state) is not kind:
            raise TypeError(
                f"branch {name!r} holds a {type(state).__name__}, not the {kind.__name__} it was forked from"
            )
    new = blank(kind)
    memo: Memo = {id(base): new}
    for field, merger in (*mergers, *_more(base, branches)) if kind.__dictoffset__ else mergers:
        value = merger(base, branches, memo)
        if value is not MISSING:
            put(new, field, value)
    if kind in HIDING and NOTICE.see is not None:
        NOTICE.see(new)
    return new


_PLAIN: Final = frozenset({int, float, str, bytes})

_MERGERS: Final[dict[type, tuple[tuple[str, Merger], ...]]] = {}


def _mergers_of(kind: type) -> tuple[tuple[str, Merger], ...]:
    return tuple(
        (
            field.name,
            field.metadata.get(WHOLE) or _merger(kind, field.name, field.metadata.get(RULE)),
        )
        for field in attrs.fields(kind)
    )


def _more(base: object, branches: Branches) -> list[tuple[str, Merger]]:
    """Attributes that are not fields; only an instance with a ``__dict__`` can have any."""
    kind = type(base)
    names = dict.fromkeys(
        name for state in (base, *(state for _, state in branches)) for name in extras(state)
    )
    return [(name, _merger(kind, name, None)) for name in names]


def _merger(kind: type, field: str, rule: Rule | None) -> Merger:
    place = f"{kind.__name__}.{field}"

    def merged(base: object, branches: Branches, memo: Memo) -> Part:
        before = getattr(base, field, MISSING)
        plain = type(before) in _PLAIN  # what `!=` tells apart at once costs half as much
        writers = [
            (name, value)
            for name, state in branches
            if (value := getattr(state, field, MISSING)) is not before
            and (
                (plain and type(value) is type(before) and value != before)
                or not same(before, value)
            )
        ]
        return (
            _settled(place, rule, before, writers)
            if writers
            else fork_part(before, memo, place)
        )

    return merged


def merged_mapping(
    place: str,
    rules: Mapping[str, Rule],
    base: Mapping[str, Any],
    branches: Sequence[tuple[str, Mapping[str, Any]]],
    memo: Memo,
) -> dict[str, Any]:
    """Merge mappings key by key, as `merge` does fields: the keys of *base* first, then new ones in declared order."""
    new: dict[str, Any] = {}
    for key in dict.fromkeys(
        key for values in (base, *(values for _, values in branches)) for key in values
    ):
        before, where = base.get(key, MISSING), f"{place}[{key!r}]"
        writers = [
            (name, value)
            for name, values in branches
            if (value := values.get(key, MISSING)) is not before and not same(before, value)
        ]
        value = (
            _settled(where, rules.get(key), before, writers)
            if writers
            else fork_part(before, memo, where)
        )
        if value is not MISSING:
            new[key] = value
    return new


def _settled(place: str, rule: Rule | None, before: Part, writers: Branches) -> Part:
    """What a field that was written is after the merge."""
    values = [value for _, value in writers]
    if len(values) == 1:
        return values[0]
    removed = [type(value) is Missing for value in values]
    if all(removed):
        return MISSING
    if rule is None or any(removed):
        raise _conflict(place, writers)
    try:
        # The rule is the user's: it gets a copy, or it could hand the base's own list on to the new state.
        return combined(rule, fork_part(before, {}, place), values)
    except UnmergeableError as error:
        raise _conflict(place, writers, reason=str(error)) from None
    except Exception as error:
        error.add_note(
            f"in the merge of {place}, written by {', '.join(name for name, _ in writers)}"
        )
        raise


def _conflict(place: str, writers: Branches, *, reason: str = "") -> MergeConflictError:
    branches = tuple(name for name, _ in writers)
    return MergeConflictError(field=place, branches=branches, reason=reason)
