"""What of a state is found to be sensitive, at any depth, and copies of it that may be printed."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import attrs
import pytest

from agentflow_trio import (
    Secret,
    SharedState,
    StateKey,
    added,
    fork,
    merge,
    merged_by,
    sensitive,
)
from agentflow_trio.state import HIDING, NOTICE, hidden_values, masked
from agentflow_trio.state._hidden_core import SENSITIVE_KEYS

Item = TypeVar("Item")


class Colour(enum.Enum):
    RED = "red"


@attrs.define
class Inner:
    key: str = attrs.field(default="inner", metadata=sensitive)
    name: str = "plain"


@attrs.frozen
class Cold:
    key: str = attrs.field(default="cold", metadata=sensitive)


@attrs.define
class State:
    inner: Inner = attrs.field(factory=Inner)
    many: list[Inner] = attrs.field(factory=list[Inner])
    by_name: dict[str, Inner] = attrs.field(factory=dict[str, Inner])
    cold: Cold = Cold()
    anything: Any = attrs.field(default=None, metadata=sensitive)
    rest: Any = None
    secret: Secret | None = None


@attrs.define
class Around:
    parts: tuple[list[State] | None, ...] = ()
    other: Around | None = None


@attrs.define
class Nothing:
    name: str = ""
    other: Nothing | None = None
    numbers: dict[str, list[int]] = attrs.field(factory=dict[str, list[int]])
    act: Callable[[int], str] | None = None


@attrs.define
class AroundNothing:
    nothing: Nothing | None = None


@attrs.define
class Odd:
    name: "Missing"  # type: ignore[name-defined]  # noqa: F821, UP037
    inner: Inner = attrs.field(factory=Inner)


@attrs.define
class Box(Generic[Item]):
    held: Item
    key: str = attrs.field(default="box", metadata=sensitive)


@attrs.define
class Boxed:
    box: Box[int] = attrs.field(factory=lambda: Box(1))


class Board(SharedState):
    KEY = StateKey("hidden_key", str, sensitive=True)
    NOTE = StateKey("hidden_note", str)
    NOTES = StateKey("hidden_notes", tuple[str, ...], rule=added, sensitive=True)


def values(state: object) -> list[str]:
    return list(hidden_values(state))


def test_values_are_found_at_any_depth() -> None:
    state = State(
        many=[Inner("one"), Inner("two")],
        by_name={"open": Inner("three")},
        rest=(deque([Inner("four")]), {"open": 1}, frozenset({Cold("five")}), Colour.RED, 7),
        secret=Secret("six"),
    )
    assert values(state) == ["inner", "one", "two", "three", "cold", "four", "five", "six"]
    assert values(Around(([state], None))) == values(state)
    assert values("text") == values(7) == values(None) == []


def test_all_that_a_sensitive_field_holds_is_hidden() -> None:
    held = {
        "name": ["text", 4711, 0.25, b"by\xff", bytearray(b"tes"), True, None],
        "more": (Nothing("deep"), Colour.RED, Secret("known")),
    }
    assert values(State(anything=held)) == [
        *("inner", "cold"),
        *(
            "name",
            "more",
            "text",
            "4711",
            "0.25",
            "by\udcff",
            "tes",
            "deep",
            "Colour.RED",
            "known",
        ),
    ]


def test_entries_whose_keys_are_hidden_are_entries_still_and_who_has_no_repr_is_named() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("abcd")

    def text(text: str) -> str:
        return text.replace("abcd", "***")

    shown = masked({"abcd": 1, "***": 2, "abcd ": 3, "*** ": 4}, text)
    assert repr(shown) == "{'***': 1, '***' (2): 2, '*** ': 3, '*** ' (4): 4}"
    assert repr(masked([Odd()], text)) == "[<Odd: its repr raised ValueError>]"


def test_cycles_and_great_numbers_end() -> None:
    loop: list[Any] = [Inner("in a loop")]
    loop.append(loop)
    assert values(State(rest=loop)) == ["inner", "cold", "in a loop"]
    crowd = State(anything=[[str(number)] for number in range(20_000)])
    assert 4_900 < len(values(crowd)) < 5_000


def test_what_stands_in_the_open_too_is_hidden_where_it_is_sensitive() -> None:
    headers = {"token": ["in both"]}
    assert values([headers, State(anything=headers)]) == ["inner", "cold", "token", "in both"]


class Lazy(Mapping[str, Any]):
    """Makes its values when it is asked for them, and keeps none."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make

    def __getitem__(self, key: str) -> object:
        return self.make()

    def __iter__(self) -> Iterator[str]:
        return iter("abcdef")

    def __len__(self) -> int:
        return 6


def test_values_that_nobody_keeps_are_all_found() -> None:
    lazy = Lazy(lambda: Lazy(lambda: [Inner("one of many")]))
    assert values(lazy) == 36 * ["one of many"]


def test_what_comes_after_a_secret_is_found_too() -> None:
    assert values([Secret("first"), Inner("after")]) == ["first", "after"]


def test_a_field_that_was_never_set_hides_nothing_of_what_comes_after_it() -> None:
    unset = object.__new__(Inner)
    assert values([unset, Inner("after")]) == ["after"]


def noticed(kind: type[Any], *args: Any) -> list[object]:
    found: list[object] = []
    before, NOTICE.see = NOTICE.see, found.append
    try:
        fork(kind(*args))
    finally:
        NOTICE.see = before
    return found


def test_forks_of_what_hides_something_are_told_of() -> None:
    state, *inside = noticed(State)[::-1]
    assert state == State()
    assert {type(one) for one in inside} == {Inner, Cold}
    assert noticed(Around) == [Around()]
    assert noticed(Nothing) == noticed(AroundNothing) == []
    assert {State, Inner, Cold, Around} <= HIDING
    assert Nothing not in HIDING

    @attrs.define
    class Holder:
        key: Secret | None = None

    assert fork(Holder()) == Holder()
    assert Holder in HIDING


def test_generic_classes_are_looked_into() -> None:
    assert noticed(Boxed) == [Box(1), Boxed()]
    assert Boxed in HIDING


def test_where_annotations_cannot_be_evaluated_what_is_inside_is_told_of_all_the_same() -> None:
    assert noticed(Odd, "x") == [Inner()]
    assert Odd not in HIDING


def test_with_nobody_to_tell_a_fork_is_a_fork() -> None:
    before, NOTICE.see = NOTICE.see, None
    try:
        state = State(many=[Inner("one")])
        assert fork(state) == state
        assert merge(state, [("a", fork(state))]) == state
        board = Board()
        board.insert(Board.KEY, "text")
        assert repr(fork(board)) == "Board({'hidden_key': ***})"
    finally:
        NOTICE.see = before


def test_what_a_merge_makes_is_told_of() -> None:
    base = State()
    left = fork(base)
    left.inner = Inner("left")
    found: list[object] = []
    before, NOTICE.see = NOTICE.see, found.append
    try:
        new = merge(base, [("left", left)])
    finally:
        NOTICE.see = before
    assert found[-1] is new


def test_sensitive_keys_of_a_board_are_hidden_by_name() -> None:
    board = Board()
    board.insert(Board.KEY, "of the board")
    board.insert(StateKey("hidden_note", str), "open")
    board.insert(StateKey("hidden_notes", tuple[str, ...]), ())
    assert repr(board) == (
        "Board({'hidden_key': ***, 'hidden_note': 'open', 'hidden_notes': ()})"
    )
    assert values(board) == ["of the board"]
    assert values(Around(other=None)) == []
    board.insert(Board.NOTE, "no longer open")
    assert values(State(anything=board))[2:] == ["of the board", "no longer open"]
    before = [*SENSITIVE_KEYS]
    SENSITIVE_KEYS.clear()
    try:
        assert noticed(Board) == []
    finally:
        SENSITIVE_KEYS.update(before)
    found = noticed(Board)
    assert [type(one) for one in found] == [Board]
    assert Board in HIDING
    assert StateKey("a", str, sensitive=True) == StateKey("a", str)


def test_a_masked_copy_shows_what_may_be_shown() -> None:
    state = State(
        many=[Inner("one", "a word")],
        by_name={"word": Inner("three")},
        anything=[1],
        rest=(1, 0.5, True, None, "word", {"word"}, Colour.RED, {"k": [b"word"]}),
        secret=Secret("abcd"),
    )
    shown = masked(state, lambda text: text.replace("word", "-"))
    assert repr(shown) == (
        "State(inner=Inner(key=***, name='plain'), many=[Inner(key=***, name='a -')], "
        "by_name={'-': Inner(key=***, name='plain')}, cold=Cold(key=***), anything=***, "
        "rest=(1, 0.5, True, None, '-', {'-'}, <Colour.RED: 'red'>, {'k': [b'-']}), "
        "secret=Secret('***'))"
    )
    assert state.many == [Inner("one", "a word")]
    assert repr(masked(Inner(), str, "[hidden]")) == "Inner(key=[hidden], name='plain')"
    assert repr(masked(State(), str)).count("None") == 3


def test_a_board_that_shows_itself_in_its_own_way_shows_no_more_of_a_masked_copy() -> None:
    class Frank(Board):
        def __repr__(self) -> str:
            return f"Frank({self.get(Board.KEY, 'none')})"

    board = Frank()
    board.insert(Board.KEY, "of the board")
    assert repr(masked(board, str)) == "Frank(***)"


def test_a_masked_copy_of_what_is_odd() -> None:
    board = Board()
    board.insert(Board.KEY, "of the board")
    board.insert(Board.NOTE, "a word")
    assert repr(masked(board, str.upper)) == (
        "Board({'hidden_key': ***, 'hidden_note': 'A WORD'})"
    )
    loop: list[Any] = ["a"]
    loop.append(loop)
    assert repr(masked(loop, str.upper)) == "['A', ...]"
    unset = object.__new__(Inner)
    unset.name = "set"
    assert masked(unset, str.upper).name == "SET"
    assert not hasattr(masked(unset, str.upper), "key")

    @attrs.define(eq=False)
    class Numbered:
        pin: int = attrs.field(default=4711, metadata=sensitive, repr=False)

        def __hash__(self) -> int:
            return self.pin + 1

    assert repr(masked({Numbered()}, str)) == "{Numbered()}"

    class Other:
        def __repr__(self) -> str:
            return "<a word>"

    rule = merged_by(added)
    assert (
        repr(masked([Other(), rule], lambda text: text.replace("word", "-")))[:9] == "[<a ->, {"
    )


@pytest.mark.parametrize("placed", [1, 2])
def test_what_stands_in_two_places_is_shown_in_both(placed: int) -> None:
    inner = Inner()
    shown = masked([inner] * placed, str)
    assert repr(shown) == str(["x"] * placed).replace("'x'", "Inner(key=***, name='plain')")
