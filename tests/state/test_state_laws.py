"""Laws of fork and merge, for any values; and the blackboard against a dict."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs
import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from agentflow_trio.errors import MergeConflictError, StateKeyError
from agentflow_trio.state import (
    SharedState,
    StateKey,
    added,
    fork,
    latest,
    merge,
    merged_by,
    summed,
)

Anything: TypeAlias = Any

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
)


@define
class Leaf:
    value: Any
    items: list[Any] = field(factory=list[Any])


@frozen
class Ice:
    value: Any


@define(eq=False)
class Odd:
    """Compared by identity."""

    value: Any


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(deque)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.builds(Leaf, inner, st.lists(inner, max_size=2))
        | st.builds(Ice, inner)
        | st.builds(Odd, inner)
        | st.sets(st.integers(), max_size=3)
        | st.frozensets(st.integers(), max_size=3)
        | st.binary(max_size=3).map(bytearray)
    )


VALUES = st.recursive(ATOMS, containers, max_leaves=12)


@define
class State:
    left: Any = None
    right: Any = None
    middle: Any = None
    count: int = field(default=0, metadata=merged_by(summed))
    cost: float = field(default=0.0, metadata=merged_by(summed))
    notes: tuple[str, ...] = field(default=(), metadata=merged_by(added))
    mood: str = field(default="", metadata=merged_by(latest))


STATES = st.builds(
    State,
    VALUES,
    VALUES,
    VALUES,
    st.integers(),
    st.floats(-1e9, 1e9),
    st.tuples(st.text(max_size=3)),
)


def picture(value: Anything) -> Anything:
    """What a value consists of, as data that nothing else holds and that compares."""
    kind = type(value)
    if isinstance(value, list | tuple | deque):
        return kind, [picture(item) for item in value]
    if isinstance(value, dict):
        return kind, [(repr(key), picture(item)) for key, item in value.items()]
    if attrs.has(kind):
        return kind, [picture(getattr(value, part.name)) for part in attrs.fields(kind)]
    return kind, repr(value)


def mutables(value: Anything) -> Iterator[Any]:
    """Every object inside that can be changed in place."""
    if isinstance(value, list | deque | tuple):
        if not isinstance(value, tuple):
            yield value
        for item in value:
            yield from mutables(item)
    elif isinstance(value, dict):
        yield value
        for item in value.values():
            yield from mutables(item)
    elif isinstance(value, set | bytearray):
        yield value
    elif attrs.has(type(value)):
        if not isinstance(value, Ice):
            yield value
        for part in attrs.fields(type(value)):
            yield from mutables(getattr(value, part.name))


def disturb(value: Anything) -> None:
    """Change one object in place."""
    if isinstance(value, list | deque):
        value.append("new")
    elif isinstance(value, dict):
        value["new"] = "new"
    elif isinstance(value, set):
        value.add("new")
    elif isinstance(value, bytearray):
        value.append(7)
    elif isinstance(value, State):
        value.left = "new"
    else:
        value.value = "new"


# ---------------------------------------------------------------- fork


@given(STATES)
def test_a_fork_is_the_same_in_every_part(state: State) -> None:
    assert picture(fork(state)) == picture(state)


@given(STATES)
def test_no_change_in_place_of_a_fork_shows_in_the_original(state: State) -> None:
    before = picture(state)
    for part in [*mutables(fork(state))]:
        disturb(part)
    assert picture(state) == before


@given(STATES)
def test_no_change_in_place_of_the_original_shows_in_a_fork(state: State) -> None:
    forked = fork(state)
    before = picture(forked)
    for part in [*mutables(state)]:
        disturb(part)
    assert picture(forked) == before


@given(VALUES)
def test_a_value_held_twice_is_held_twice_by_the_fork(value: Anything) -> None:
    forked = fork(State(value, [value]))
    assert forked.left is forked.right[0]


# ---------------------------------------------------------------- merge


FIELDS = ("left", "right", "middle")
CHANGES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3)


def changed(base: State, change: Mapping[str, Any]) -> State:
    forked = fork(base)
    for name, value in change.items():
        setattr(forked, name, value)
    return forked


@given(STATES, st.integers(0, 4))
def test_branches_that_wrote_nothing_change_nothing(base: State, count: int) -> None:
    result = merge(base, [(str(n), fork(base)) for n in range(count)])
    assert picture(result) == picture(base)
    assert not {id(part) for part in mutables(result)} & {id(part) for part in mutables(base)}


@given(STATES, CHANGES)
def test_fields_that_were_not_touched_stay(base: State, change: Mapping[str, Any]) -> None:
    result = merge(base, [("a", fork(base)), ("b", changed(base, change))])
    for name in FIELDS:
        assert picture(getattr(result, name)) == picture(change.get(name, getattr(base, name)))


@given(STATES, VALUES, VALUES)
def test_changes_of_different_fields_commute(
    base: State, left: Anything, right: Anything
) -> None:
    ours = [("a", changed(base, {"left": left})), ("b", changed(base, {"right": right}))]
    assert picture(merge(base, ours)) == picture(merge(base, ours[::-1]))


@given(STATES, CHANGES, CHANGES)
def test_a_conflict_does_not_depend_on_the_order(
    base: State, one: Mapping[str, Any], other: Mapping[str, Any]
) -> None:
    ours = [("a", changed(base, one)), ("b", changed(base, other))]
    assert outcome(base, ours) == outcome(base, ours[::-1])


def outcome(base: State, branches: list[tuple[str, State]]) -> Anything:
    """The merged state, or what conflicts with what."""
    try:
        return picture(merge(base, branches))
    except MergeConflictError as conflict:
        return conflict.field, sorted(conflict.branches)


@given(st.integers(), st.lists(st.integers(), max_size=5))
def test_summed_counts_what_every_branch_added(start: int, parts: list[int]) -> None:
    base = State(count=start)
    ours = [(str(at), attrs.evolve(base, count=start + part)) for at, part in enumerate(parts)]
    assert merge(base, ours).count == start + sum(parts)


@given(st.floats(-1e15, 1e15), st.lists(st.floats(-1e15, 1e15), max_size=5), st.randoms())
def test_sums_of_floats_commute_exactly(
    start: float, parts: list[float], chance: Anything
) -> None:
    base = State(cost=start)
    ours = [(str(at), attrs.evolve(base, cost=part)) for at, part in enumerate(parts)]
    result = merge(base, ours).cost
    chance.shuffle(ours)
    assert merge(base, ours).cost == result


@given(
    st.lists(st.text(max_size=2)),
    st.lists(st.lists(st.text(max_size=2), max_size=3), max_size=4),
)
def test_added_keeps_everything_in_declared_order(
    start: list[str], parts: list[list[str]]
) -> None:
    base = State(notes=tuple(start))
    ours = [
        (str(at), attrs.evolve(base, notes=(*start, *part))) for at, part in enumerate(parts)
    ]
    assert merge(base, ours).notes == (*start, *(note for part in parts for note in part))


@given(st.lists(st.text(max_size=2), max_size=4))
def test_latest_is_the_last_that_changed_it(moods: list[str]) -> None:
    base = State(mood="start")
    ours = [(str(at), attrs.evolve(base, mood=mood)) for at, mood in enumerate(moods)]
    assert merge(base, ours).mood == ["start", *(mood for mood in moods if mood != "start")][-1]


# ---------------------------------------------------------------- the blackboard against a dict


NAMES = st.sampled_from(["draft", "drafts", "count", "x"])


class BlackboardMachine(RuleBasedStateMachine):
    """Any sequence of calls, on states and forks of states, does what it does to dicts."""

    boards = Bundle("boards")

    @initialize(target=boards)
    def start(self) -> tuple[SharedState, dict[str, list[int]]]:
        return SharedState(), {}

    @rule(board=boards, name=NAMES, value=st.lists(st.integers(), max_size=3))
    def insert(self, board: Anything, name: str, value: list[int]) -> None:
        state, model = board
        state.insert(StateKey(name, list[int]), value)
        model[name] = [*value]

    @rule(board=boards, name=NAMES)
    def remove(self, board: Anything, name: str) -> None:
        state, model = board
        assert state.remove(StateKey(name, list[int])) == model.pop(name, None)

    @rule(board=boards, name=NAMES, item=st.integers())
    def update(self, board: Anything, name: str, item: int) -> None:
        state, model = board
        key = StateKey(name, list[int])
        if name in model:
            model[name] = [*model[name], item]
            assert state.update(key, lambda old: [*old, item]) == model[name]
        else:
            with pytest.raises(StateKeyError) as caught:
                state.update(key, lambda old: old)
            assert all(near in model for near in caught.value.near)

    @rule(board=boards, name=NAMES, item=st.integers())
    def change_in_place(self, board: Anything, name: str, item: int) -> None:
        state, model = board
        if name in model:
            state[StateKey(name, list[int])].append(item)
            model[name].append(item)

    @rule(target=boards, board=boards)
    def fork(self, board: Anything) -> tuple[SharedState, dict[str, list[int]]]:
        state, model = board
        return fork(state), {name: [*value] for name, value in model.items()}

    @rule(target=boards, board=consumes(boards), name=NAMES, value=st.lists(st.integers()))
    def merge_one(
        self, board: Anything, name: str, value: list[int]
    ) -> tuple[SharedState, Any]:
        state, model = board
        branch = fork(state)
        branch.insert(StateKey(name, list[int]), value)
        return merge(state, [("one", branch), ("two", fork(state))]), {**model, name: [*value]}

    @rule(board=boards, name=NAMES)
    def look(self, board: Anything, name: str) -> None:
        state, model = board
        key = StateKey(name, list[int])
        assert state.contains_key(key) == (name in model)
        assert state.get(key) == model.get(name)
        assert state.get(key, "default") == model.get(name, "default")

    @rule(board=boards)
    def look_at_all(self, board: Anything) -> None:
        state, model = board
        assert list(state) == list(model)
        assert len(state) == len(model)
        assert state.is_empty() == (not model)
        assert repr(state) == f"SharedState({model})"


TestTheBlackboardIsADict = BlackboardMachine.TestCase
