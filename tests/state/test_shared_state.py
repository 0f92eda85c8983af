"""The blackboard: typed keys, atomic updates, forks and merges key by key."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, Union, assert_type

import attrs
import pytest
import trio

from agentflow_trio.errors import MergeConflictError, StateForkError, StateKeyError
from agentflow_trio.ports import Forkable, Keyed
from agentflow_trio.state import SharedState, StateKey, added, fork, merge, summed

Anything: TypeAlias = Any

DRAFT = StateKey("draft", str)
COUNT = StateKey("count", int, summed)
SCORE = StateKey("score", float)
TAGS = StateKey("tags", list[str])
NOTES = StateKey("notes", tuple[str, ...], rule=added)


OldUnion: Any = Union[str, int]  # noqa: UP007 - users write it


class Board(SharedState):
    DRAFT = StateKey("draft", str)
    NOTES = StateKey("notes", tuple[str, ...], rule=added)


class Wide(Board):
    SEEN = StateKey("seen", int)


@attrs.define
class Mixed(SharedState):
    size: int = 0


def filled(*pairs: tuple[StateKey[Any], Any]) -> SharedState:
    state = SharedState()
    for key, value in pairs:
        state.insert(key, value)
    return state


# ---------------------------------------------------------------- keys and values


def test_what_is_inserted_is_found_with_its_type() -> None:
    state = filled((DRAFT, "x"), (TAGS, ["a"]))
    assert assert_type(state[DRAFT], str) == "x"
    assert assert_type(state.get(TAGS), list[str] | None) == ["a"]
    assert assert_type(state.get(COUNT, 7), int) == 7
    assert state.get(COUNT) is None


def test_inserting_again_replaces() -> None:
    state = filled((DRAFT, "x"))
    state.insert(DRAFT, "y")
    assert state[DRAFT] == "y"
    assert len(state) == 1


def test_remove_gives_the_value_back_once() -> None:
    state = filled((DRAFT, "x"))
    assert assert_type(state.remove(DRAFT), str | None) == "x"
    assert state.remove(DRAFT) is None
    assert not state.contains_key(DRAFT)


def test_len_iter_is_empty_and_contains_key_agree() -> None:
    state = SharedState()
    assert (len(state), list(state), state.is_empty()) == (0, [], True)
    state.insert(NOTES, ())
    state.insert(DRAFT, "")
    assert (len(state), list(state), state.is_empty()) == (2, ["notes", "draft"], False)
    assert state.contains_key(DRAFT)
    assert not state.contains_key(COUNT)


def test_iteration_is_over_the_keys_of_that_moment() -> None:
    state = filled((DRAFT, "x"))
    names = iter(state)
    state.insert(COUNT, 1)
    assert list(names) == ["draft"]


def test_update_stores_and_returns_what_the_function_gives() -> None:
    state = filled((COUNT, 1))
    assert assert_type(state.update(COUNT, lambda n: n + 1), int) == 2
    assert state[COUNT] == 2


def test_update_may_use_the_state_it_changes() -> None:
    state = filled((COUNT, 1), (DRAFT, "abc"))
    assert state.update(COUNT, lambda n: n + len(state[DRAFT])) == 4


def test_a_failed_update_changes_nothing() -> None:
    state = filled((COUNT, 1))
    with pytest.raises(ZeroDivisionError):
        state.update(COUNT, lambda n: n // 0)
    wrong: Any = str
    with pytest.raises(TypeError, match="'count' holds a value of int, not of str"):
        state.update(COUNT, wrong)
    assert state[COUNT] == 1


def test_a_missing_key_is_an_error_with_names_that_look_alike() -> None:
    state = filled((StateKey("drafts", str), "x"), (COUNT, 1))
    with pytest.raises(StateKeyError) as caught:
        state[DRAFT]
    assert (caught.value.key, caught.value.near) == ("draft", ("drafts",))
    assert str(caught.value) == "the shared state has no 'draft'; did you mean 'drafts'?"
    with pytest.raises(StateKeyError):
        state.update(DRAFT, str.upper)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (DRAFT, 3, "'draft' holds a value of str, not of int"),
        (COUNT, True, "'count' holds a value of int, not of bool"),
        (COUNT, 1.0, "'count' holds a value of int, not of float"),
        (SCORE, "1", "'score' holds a value of float, not of str"),
        (SCORE, True, "'score' holds a value of float, not of bool"),
        (TAGS, ("a",), "'tags' holds a value of list[str], not of tuple"),
    ],
    ids=["str", "bool", "float", "text", "bool as float", "tuple"],
)
def test_a_value_of_another_class_is_refused(
    key: Anything, value: Anything, words: str
) -> None:
    state = SharedState()
    with pytest.raises(TypeError) as caught:
        state.insert(key, value)
    assert str(caught.value) == words
    assert state.is_empty()


def test_an_int_may_stand_for_a_float() -> None:
    assert filled((SCORE, 1))[SCORE] == 1
    assert filled((SCORE, 1.5))[SCORE] == 1.5


def test_a_value_stored_under_another_key_of_that_name_is_refused_when_read() -> None:
    state = filled((StateKey("draft", int), 3))
    for read in (state.get, state.__getitem__, state.remove):
        with pytest.raises(TypeError, match="'draft' holds a value of str, not of int"):
            read(DRAFT)
    assert len(state) == 1


@pytest.mark.parametrize(
    "kind", [str | None, OldUnion, Annotated[str, 1], Literal["a"], "str"], ids=str
)
def test_a_key_of_what_is_no_class_is_refused(kind: Anything) -> None:
    with pytest.raises(TypeError, match=r"StateKey\('x', \.\.\.\) needs a class, not"):
        StateKey("x", kind)


def test_a_key_of_an_abstract_class_takes_what_is_of_it() -> None:
    key: StateKey[Any] = StateKey("items", Sequence)
    assert filled((key, [1]))[key] == [1]


def test_keys_are_values() -> None:
    assert StateKey("draft", str) == DRAFT
    assert hash(StateKey("draft", str)) == hash(DRAFT)
    assert fork(Mixed()).size == 0
    assert DRAFT.__agentflow_fork__() is DRAFT


def test_two_states_are_equal_if_their_class_and_values_are() -> None:
    assert filled((DRAFT, "x")) == filled((DRAFT, "x"))
    assert filled((DRAFT, "x")) != filled((DRAFT, "y"))
    assert Board() != SharedState()


def test_repr_shows_the_values() -> None:
    board = Board()
    board.insert(Board.DRAFT, "x")
    assert repr(board) == "Board({'draft': 'x'})"
    assert repr(Mixed(3)) == "Mixed(_values={}, size=3)"


def test_a_class_with_two_keys_of_one_name_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="Twice declares two keys named 'a'"):

        class Twice(SharedState):
            ONE = StateKey("a", str)
            TWO = StateKey("a", int)


def test_a_subclass_may_declare_a_key_anew() -> None:
    class Narrow(Board):
        DRAFT = StateKey("draft", str, rule=added)

    assert Narrow.__agentflow_keys__() == {"draft": str, "notes": tuple[str, ...]}


# ---------------------------------------------------------------- threads


def test_updates_from_threads_lose_nothing() -> None:
    state = filled((COUNT, 0))

    def count() -> None:
        for _ in range(300):
            state.update(COUNT, lambda n: n + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state[COUNT] == 1200


async def test_another_thread_waits_until_an_update_has_ended() -> None:
    state = filled((COUNT, 1))
    order: list[str] = []
    inside, entering = threading.Event(), threading.Event()

    def slow(value: int) -> int:
        inside.set()
        assert entering.wait(10.0)
        order.append("updated")
        return value + 1

    def hop() -> None:
        assert inside.wait(10.0)
        entering.set()
        state.insert(COUNT, state.update(COUNT, lambda n: n * 10))
        order.append("inserted")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, state.update, COUNT, slow)
        await trio.to_thread.run_sync(hop)
    assert state[COUNT] == 20
    assert order == ["updated", "inserted"]


# ---------------------------------------------------------------- fork, copy, pickle


def test_a_fork_has_its_own_values_and_its_own_lock() -> None:
    state = filled((TAGS, ["a"]), (DRAFT, "x"))
    forked = fork(state)
    forked[TAGS].append("b")
    forked.insert(COUNT, 1)
    assert state == filled((TAGS, ["a"]), (DRAFT, "x"))
    assert forked[TAGS] == ["a", "b"]

    def while_locked(draft: str) -> str:
        thread = threading.Thread(target=forked.insert, args=(DRAFT, "from a thread"))
        thread.start()
        thread.join(10.0)
        assert not thread.is_alive()
        return draft

    state.update(DRAFT, while_locked)
    assert forked[DRAFT] == "from a thread"


def test_subclasses_fork_with_their_class_fields_and_attributes() -> None:
    mixed = Mixed(3)
    mixed.insert(DRAFT, "x")
    forked = fork(mixed)
    assert forked == mixed
    assert type(forked) is Mixed
    assert type(fork(Wide())) is Wide


@pytest.mark.parametrize(
    "again",
    [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_has_a_lock_of_its_own(again: Anything) -> None:
    state = filled((DRAFT, "x"))
    twin = again(state)
    assert twin == state
    assert twin.update(DRAFT, str.upper) == "X"
    assert state[DRAFT] == "x"


def test_what_cannot_be_forked_is_named_by_its_key() -> None:
    lock: StateKey[Any] = StateKey("lock", object)
    with pytest.raises(StateForkError) as caught:
        fork(filled((lock, threading.Lock())))
    assert caught.value.field == "SharedState['lock']"


def test_a_blackboard_in_a_state_is_forked_with_it() -> None:
    @attrs.define
    class Desk:
        board: Any

    board = filled((TAGS, ["a"]))
    forked = fork(Desk(board))
    forked.board[TAGS].append("b")
    assert board[TAGS] == ["a"]
    board.insert(StateKey("lock", object), threading.Lock())
    with pytest.raises(StateForkError) as caught:
        fork(Desk(board))
    assert caught.value.field == "Desk.board['lock']"


def test_it_offers_the_hooks() -> None:
    board: Forkable = Board()
    keyed: Keyed = Board()
    assert isinstance(board, Forkable)
    assert isinstance(keyed, Keyed)


# ---------------------------------------------------------------- merge


def two(state: SharedState) -> tuple[SharedState, SharedState, list[tuple[str, SharedState]]]:
    left, right = fork(state), fork(state)
    return left, right, [("left", left), ("right", right)]


def test_keys_written_by_different_branches_are_all_there_in_order() -> None:
    base = filled((DRAFT, "x"), (COUNT, 1))
    left, right, both = two(base)
    left.insert(SCORE, 2.0)
    right.insert(TAGS, ["t"])
    right.insert(DRAFT, "y")
    result = merge(base, both)
    assert result == filled((DRAFT, "y"), (COUNT, 1), (SCORE, 2.0), (TAGS, ["t"]))
    assert list(result) == ["draft", "count", "score", "tags"]
    assert base == filled((DRAFT, "x"), (COUNT, 1))


def test_two_writers_of_a_key_conflict() -> None:
    base = filled((DRAFT, "x"))
    left, right, both = two(base)
    left.insert(DRAFT, "y")
    right.insert(DRAFT, "z")
    with pytest.raises(MergeConflictError) as caught:
        merge(base, both)
    assert (caught.value.field, caught.value.branches) == (
        "SharedState['draft']",
        ("left", "right"),
    )
    right.insert(DRAFT, "y")
    with pytest.raises(MergeConflictError):
        merge(base, both)


def test_removed_here_and_changed_there_is_a_conflict_that_names_the_key() -> None:
    base = filled((COUNT, 1))
    left, right, both = two(base)
    left.remove(COUNT)
    right.insert(COUNT, 2)
    with pytest.raises(
        MergeConflictError, match=r"SharedState\['count'\] was changed by left and right"
    ):
        merge(base, both)


def test_removed_by_one_or_both_is_removed() -> None:
    base = filled((DRAFT, "x"), (COUNT, 1))
    left, right, both = two(base)
    left.remove(DRAFT)
    assert list(merge(base, both)) == ["count"]
    right.remove(DRAFT)
    assert list(merge(base, both)) == ["count"]


def test_keys_have_rules() -> None:
    base = filled((COUNT, 10), (NOTES, ("n",)))
    left, right, both = two(base)
    for state, note in ((left, "l"), (right, "r")):
        state.update(COUNT, lambda n: n + 1)
        state.insert(NOTES, (*state[NOTES], note))
    assert merge(base, both) == filled((COUNT, 12), (NOTES, ("n", "l", "r")))


def test_a_rule_holds_for_keys_that_were_not_there_before() -> None:
    base = SharedState()
    left, right, both = two(base)
    for state, note in ((left, "l"), (right, "r")):
        state.insert(COUNT, 2)
        state.insert(NOTES, (note,))
    result = merge(base, both)
    assert result == filled((COUNT, 4), (NOTES, ("l", "r")))
    again_left, again_right, again = two(result)
    again_left.insert(COUNT, 5)
    again_right.insert(COUNT, 5)
    assert merge(result, again)[COUNT] == 6


def test_a_rule_of_the_users_needs_an_earlier_value() -> None:
    def longest(base: str, theirs: str, mine: str) -> str:
        return max(theirs, mine, key=len)

    title = StateKey("title", str, longest)
    base = SharedState()
    left, right, both = two(base)
    left.insert(title, "ab")
    right.insert(title, "abc")
    with pytest.raises(MergeConflictError) as caught:
        merge(base, both)
    assert caught.value.reason == "there is no earlier value to give the rule"
    started = filled((title, ""))
    left, right, both = two(started)
    left.insert(title, "ab")
    right.insert(title, "abc")
    assert merge(started, both)[title] == "abc"


def test_declared_keys_have_their_rules_from_the_beginning() -> None:
    board = Board.__agentflow_make__({"notes": ("n",)})
    left, right = fork(board), fork(board)
    plain = StateKey("notes", tuple[str, ...])
    left.insert(plain, ("n", "l"))
    right.insert(plain, ("n", "r"))
    assert merge(board, [("l", left), ("r", right)])[Board.NOTES] == ("n", "l", "r")


def test_values_that_nobody_wrote_are_not_shared_with_the_base() -> None:
    base = filled((TAGS, ["a"]))
    result = merge(base, [])
    result[TAGS].append("b")
    assert base[TAGS] == ["a"]
    result.insert(DRAFT, "own lock and values")
    assert not base.contains_key(DRAFT)


def test_fields_of_a_subclass_merge_beside_its_keys() -> None:
    base = Mixed(1)
    left, right = fork(base), fork(base)
    left.size = 2
    right.insert(DRAFT, "x")
    result = merge(base, [("l", left), ("r", right)])
    assert (result.size, result[DRAFT]) == (2, "x")


# ---------------------------------------------------------------- what the codec asks


def test_declared_keys_are_told_inherited_ones_first() -> None:
    assert list(Wide.__agentflow_keys__().items()) == [
        ("draft", str),
        ("notes", tuple[str, ...]),
        ("seen", int),
    ]
    assert SharedState.__agentflow_keys__() == {}


def test_a_subclass_with_fields_has_no_declared_form() -> None:
    with pytest.raises(TypeError, match=r"Mixed\.size is a field; for JSON make it a StateKey"):
        Mixed.__agentflow_keys__()


def test_values_are_given_out_as_a_copy() -> None:
    state = filled((DRAFT, "x"))
    values = state.__agentflow_values__()
    state.insert(DRAFT, "y")
    assert values == {"draft": "x"}
