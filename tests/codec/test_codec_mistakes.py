"""What does not fit is refused, all of it at once, with its place."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from uuid import UUID

import pytest
from attrs import define, field, frozen, make_class, validators

from agentflow_trio.codec import dump, from_data, load, parse, to_data
from agentflow_trio.errors import CodecError, Mismatch
from agentflow_trio.state import SharedState, StateKey

Anything: TypeAlias = Any

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Alike(enum.Enum):
    RED = "red"


class Perm(enum.Flag):
    READ = 1


@define
class Author:
    name: str


@define
class Editor(Author):
    desk: str = ""


@define
class Article:
    topic: str
    notes: tuple[str, ...] = ()
    author: Author | None = None
    by_id: dict[str, int] = field(factory=dict[str, int])
    _size: int = 0
    late: int = field(init=False, default=0)
    later: int = field(init=False)


@define
class Pet:
    one: Author | Editor | None = None


@define
class Broken:
    name: str
    pal: Autor | None = None  # type: ignore[name-defined]  # noqa: F821 - the mistake


@define
class Worse(Broken):
    odd: Nobody = 0  # type: ignore[name-defined]  # noqa: F821 - the mistake


@frozen
class Box(Generic[T]):
    item: T


@define
class Checked:
    size: int = field(validator=validators.ge(0))


class Board(SharedState):
    DRAFT = StateKey("draft", str)
    COUNT = StateKey("count", int)


@define
class Mixed(SharedState):
    size: int = 0


def one_field(kind: Anything, **options: Anything) -> Anything:
    return make_class("Made", {"value": field(type=kind, **options)})


def found(act: Callable[[], object]) -> list[str]:
    with pytest.raises(CodecError) as caught:
        act()
    return [str(mismatch) for mismatch in caught.value.mismatches]


# ---------------------------------------------------------------- text


def test_text_that_is_no_json_is_refused_with_line_and_column() -> None:
    with pytest.raises(CodecError) as caught:
        load(Article, '{"a": 1,\n "b": }')
    assert (
        str(caught.value)
        == "not a valid Article: line 2, column 7: expected JSON, got Expecting value"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "$: expected JSON, got NaN, which no JSON has"),
        ('{"a": 1, "b": 2, "a": 3}', "$: expected JSON, got the key 'a' twice in one object"),
        ("[" * 100_000, "$: expected nesting within Python's recursion limit, got more"),
        ("3", '$: expected {"schema_version": ..., "value": ...}, got int 3'),
        ("{}", '$: expected {"schema_version": ..., "value": ...}, got dict'),
        ('{"schema_version": 2, "value": {}}', "schema_version: expected 1, got int 2"),
        ('{"schema_version": true, "value": {}}', "schema_version: expected 1, got bool True"),
        ('{"schema_version": "1", "value": {}}', "schema_version: expected 1, got str '1'"),
    ],
    ids=["nan", "twice", "deep", "bare", "empty", "version", "bool", "text"],
)
def test_text_without_a_right_envelope_is_refused(text: str, words: str) -> None:
    assert found(lambda: load(Article, text)) == [words]


def test_text_can_be_parsed_alone_with_the_same_refusals() -> None:
    assert parse("input", '{"a": [1, 2.5, null, true]}') == {"a": [1, 2.5, None, True]}
    for text, words in (
        ('{"a": 1,\n "b": }', "line 2, column 7: expected JSON, got Expecting value"),
        ('[{"a": 1, "a": 2}]', "$: expected JSON, got the key 'a' twice in one object"),
        ("[Infinity]", "$: expected JSON, got Infinity, which no JSON has"),
    ):
        with pytest.raises(CodecError) as caught:
            parse("input", text)
        assert str(caught.value) == f"not a valid input: {words}"


# ---------------------------------------------------------------- reading


def test_every_mistake_is_told_at_once_with_its_path() -> None:
    data = {
        "notes": ["a", 1, "b", None],
        "author": {"nam": "x"},
        "by_id": {"x": "1", 'y"': True, "z": 3},
        "size": 1.0,
        "late": "x",
        "drfat": 1,
        "tpic": "t",
        "odd key": 1,
    }
    with pytest.raises(CodecError) as caught:
        from_data(Article, data)
    assert caught.value.kind == "Article"
    assert caught.value.mismatches == (
        Mismatch("$.topic", "str", "nothing"),
        Mismatch("$.notes[1]", "str", "int 1"),
        Mismatch("$.notes[3]", "str", "null"),
        Mismatch("$.author.name", "str", "nothing"),
        Mismatch("$.author.nam", "a known field (did you mean 'name'?)", "'nam'"),
        Mismatch('$.by_id["x"]', "int", "str '1'"),
        Mismatch('$.by_id["y\\""]', "int", "bool True"),
        Mismatch("$.size", "int", "float 1.0"),
        Mismatch("$.late", "int", "str 'x'"),
        Mismatch("$.later", "int", "nothing"),
        Mismatch("$.drfat", "a known field", "'drfat'"),
        Mismatch('$["odd key"]', "a known field", "'odd key'"),
        Mismatch("$.tpic", "a known field (did you mean 'topic'?)", "'tpic'"),
    )


def test_a_mistake_outside_init_alone_is_told() -> None:
    assert found(lambda: from_data(Article, {"topic": "t", "later": "x"})) == [
        "$.later: expected int, got str 'x'"
    ]


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (int, "3", "int, got str '3'"),
        (int, True, "int, got bool True"),
        (int, 1.0, "int, got float 1.0"),
        (bool, 1, "bool, got int 1"),
        (bool, "true", "bool, got str 'true'"),
        (float, "1", "float, got str '1'"),
        (float, True, "float, got bool True"),
        (float, 2**53 + 1, "float, got int 9007199254740993"),
        (float, 10**400, "float, got int " + str(10**400)[:37] + "..."),
        (float, math.inf, "float, got float inf"),
        (str, 3, "str, got int 3"),
        (None, 0, "None, got int 0"),
        (bytes, "ä", "bytes, got str 'ä'"),
        (bytes, "a", "bytes, got str 'a'"),
        (datetime, "yesterday", "datetime, got str 'yesterday'"),
        (date, 3, "date, got int 3"),
        (timedelta, "3 s", "timedelta, got str '3 s'"),
        (timedelta, "P9999999999DT0S", "timedelta, got str 'P9999999999DT0S'"),
        (Decimal, "x", "Decimal, got str 'x'"),
        (
            UUID,
            "{00000000-0000-0000-0000-000000000003}",
            "UUID, got str " + repr("{00000000-0000-0000-0000-000000000003}"),
        ),
        (Path, 3, "Path, got int 3"),
        (Colour, "blue", "Colour, got str 'blue'"),
        (Perm, 8, "Perm, got int 8"),
        (Literal["a", 1], True, "Literal['a', 1], got bool True"),
        (list[int], {"a": 1}, "list[int], got dict"),
        (list[int], "ab", "list[int], got str 'ab'"),
        (tuple[int, str], [1], "tuple[int, str], got 1 items"),
        (set[int], [1, 1], "set[int], got an item twice"),
        (set[list[int]], [[1]], "set[list[int]], got items that no set can hold"),
        (dict[str, int], [], "dict[str, int], got list"),
        (dict[int, int], {"03": 1}, "int, got str '03'"),
        (dict[int, int], {"a": 1}, "int, got str 'a'"),
        (int | None, "x", "int | None, got str 'x'"),
        (str | float, True, "str | float, got bool True"),
        (Any, (1,), "Any, got tuple"),
        (Any, {1: 2}, "Any, got dict"),
        (Any, math.inf, "Any, got float inf"),
        (Author, [], "Author, got list"),
        (Board, [], "Board, got list"),
    ],
    ids=repr,
)
def test_nothing_is_coerced(kind: Anything, data: Anything, words: str) -> None:
    (only,) = found(lambda: from_data(kind, data))
    assert only.partition(": expected ")[2] == words


def test_keys_that_do_not_fit_are_told_by_themselves() -> None:
    assert found(lambda: from_data(dict[int, int], {"x": "y", "1": "z"})) == [
        "$[\"x\"]: expected int, got str 'x'"
    ]


def test_a_member_of_a_union_of_classes_is_told_by_its_tag() -> None:
    assert found(lambda: from_data(Pet, {"one": {"name": "x"}})) == [
        "$.one: expected 'Author' or 'Editor' as '$type', got nothing"
    ]
    assert found(lambda: from_data(Pet, {"one": {"$type": "Auhtor"}})) == [
        "$.one: expected 'Author' or 'Editor' as '$type', got str 'Auhtor'"
    ]
    assert found(lambda: from_data(Pet, {"one": {"$type": [1]}})) == [
        "$.one: expected 'Author' or 'Editor' as '$type', got list"
    ]
    assert found(lambda: from_data(Pet, {"one": {"$type": "Editor", "name": 3}})) == [
        "$.one.name: expected str, got int 3"
    ]


def test_what_a_validator_refuses_is_told() -> None:
    (only,) = found(lambda: from_data(list[Checked], [{"size": 1}, {"size": -1}]))
    assert only.startswith(
        "$[1]: expected what the class accepts, got ValueError: 'size' must be >= 0"
    )


def test_an_unknown_key_of_a_blackboard_is_told_with_what_was_meant() -> None:
    assert found(lambda: from_data(Board, {"drfat": "x", "count": "1"})) == [
        "$.drfat: expected a known field (did you mean 'draft'?), got 'drfat'",
        "$.count: expected int, got str '1'",
    ]


def test_a_generic_class_is_read_with_its_types_only() -> None:
    assert found(lambda: from_data(Box, {"item": 1})) == [
        "$: expected a class with its types, as in Box[int], got Box"
    ]
    holder = one_field(list[T])  # type: ignore[valid-type]
    assert found(lambda: from_data(holder, {"value": [3]})) == [
        "$.value[0]: expected a type in place of Any, as in Box[int], got int 3"
    ]


def test_data_nested_too_deeply_is_refused() -> None:
    items: list[Any] = []
    for _ in range(100_000):
        items = [items]
    assert found(lambda: from_data(list, items)) == [
        "$: expected nesting within Python's recursion limit, got more"
    ]
    assert found(lambda: to_data(items)) == [
        "$: expected nesting within Python's recursion limit, got more"
    ]


# ---------------------------------------------------------------- writing


def test_a_value_that_does_not_fit_its_field_is_refused_with_its_path() -> None:
    article: Any = Article("t")
    article.notes = ("a", 3)
    article.author = Editor("e")
    article.by_id = {"a": True}
    with pytest.raises(CodecError) as caught:
        dump(article)
    assert caught.value.mismatches == (
        Mismatch("$.notes[1]", "str", "int 3"),
        Mismatch("$.author", f"{__name__}.Author | None", "Editor"),
        Mismatch('$.by_id["a"]', "int", "bool True"),
        Mismatch("$.later", "int", "nothing (the field was never set)"),
    )


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (int, True, "int, got bool True"),
        (str, Text("x"), "str, got Text 'x'"),
        (float, 2**53 + 1, "float, got int 9007199254740993"),
        (float, True, "float, got bool True"),
        (datetime, date(2026, 1, 2), "datetime, got date"),
        (date, datetime(2026, 1, 2), "date, got datetime"),  # noqa: DTZ001
        (Colour, Alike.RED, "Colour, got Alike"),
        (Literal[1], True, "Literal[1], got bool True"),
        (tuple[int, ...], [1], "tuple[int, ...], got list"),
        (tuple[int, int], (1,), "tuple[int, int], got 1 items"),
        (dict[str, int], {1: 1}, "str, got int 1"),
        (int | None, "x", "int | None, got str 'x'"),
        (
            float | str,
            math.nan,
            "a value that cannot be taken for another of float | str, got float nan",
        ),
        (Any, (1,), "Any, got tuple"),
        (Board, SharedState(), "Board, got SharedState"),
        (deque[int], deque([1]), "a type that has a place in JSON, got collections.deque[int]"),
        (Callable, len, "a type that has a place in JSON, got Callable"),
        (
            str | date,
            "x",
            "a union whose members can be told apart in JSON, got str | datetime.date",
        ),
        (Colour | str, "x", "a union whose members can be told apart in JSON, got "),
        (Colour | Alike, Colour.RED, "a union whose members can be told apart in JSON, got "),
        (
            list[int] | tuple[int, ...],
            [1],
            "a union whose members can be told apart in JSON, got list[int] | tuple[int, ...]",
        ),
        (Author | dict[str, int], {}, "a union whose members can be told apart in JSON, got "),
        (Author | Board, Author("a"), "a union whose members can be told apart in JSON, got "),
        (Box[int] | Box[str], Box(1), "a union whose members can be told apart in JSON, got "),
        (deque | None, deque(), "a type that has a place in JSON, got deque"),
        (Literal["red", Colour.RED], "red", "values that are not written alike, got "),
        (
            dict[float, int],
            {1.0: 1},
            "a dict with keys that are str, int, an enum or else one string, got dict[float, int]",
        ),
    ],
    ids=repr,
)
def test_what_would_come_back_different_is_not_written(
    kind: Anything, value: Anything, words: str
) -> None:
    made = one_field(kind)
    (only,) = found(lambda: to_data(made(value)))
    assert only.startswith("$.value")
    assert only.partition(": expected ")[2].startswith(words)


def test_a_type_that_cannot_be_told_is_refused_where_it_is_read_too() -> None:
    made = one_field(str | date, default="x")
    assert found(lambda: from_data(made, {"value": "x"})) == [
        "$.value: expected a union whose members can be told apart in JSON, got str | datetime.date"
    ]
    assert from_data(made, {}) == made("x")


def test_a_union_with_a_type_of_no_place_in_json_still_writes_its_other_members() -> None:
    made = one_field(deque[int] | None)
    assert to_data(made(None)) == {"value": None}
    assert from_data(made, {"value": None}) == made(None)


@pytest.mark.parametrize(
    "value",
    [object(), {1.5: "a"}, {(1,): "a"}, [deque()]],
    ids=["object", "float key", "tuple key", "deque"],
)
def test_what_has_no_place_in_json_is_refused(value: Anything) -> None:
    assert len(found(lambda: dump(value))) == 1


def test_keys_that_are_written_alike_are_refused() -> None:
    assert found(lambda: to_data({1: "a", "1": "b"})) == [
        "$: expected Any, got two keys that are written alike"
    ]


def test_a_number_of_too_many_digits_is_refused() -> None:
    (only,) = found(lambda: dump(10**5000))
    assert only.startswith("$: expected what can be text, got Exceeds the limit")
    (only,) = found(lambda: load(int, "1" * 5000))
    assert only.startswith("$: expected JSON, got Exceeds the limit")


def test_an_undeclared_key_of_a_blackboard_is_refused_with_the_remedy() -> None:
    board = Board()
    board.insert(Board.DRAFT, "x")
    board.insert(StateKey("extra", int), 1)
    assert found(lambda: dump(board)) == [
        "$.extra: expected a declared key; declare StateKey('extra', ...) in Board, got the key 'extra'"
    ]
    state = SharedState()
    state.insert(Board.DRAFT, "x")
    expected = "a declared key; declare StateKey('draft', ...) in a subclass of SharedState"
    assert found(lambda: dump(state)) == [f"$.draft: expected {expected}, got the key 'draft'"]


def test_a_value_under_a_key_that_does_not_fit_is_refused_with_its_path() -> None:
    class Listed(SharedState):
        TAGS = StateKey("tags", list[str])

    state = Listed()
    tags: Any = ["a", 3]
    state.insert(Listed.TAGS, tags)
    assert found(lambda: dump(state)) == ["$.tags[1]: expected str, got int 3"]


def test_a_blackboard_with_fields_is_refused_with_the_remedy() -> None:
    mixed = Mixed(3)
    mixed.insert(Board.DRAFT, "x")
    words = "$.draft: expected a class with keys only, got Mixed.size is a field; for JSON make it a StateKey"
    assert found(lambda: dump(mixed)) == [words]


# ---------------------------------------------------------------- annotations


def test_an_annotation_that_cannot_be_evaluated_is_told_with_class_and_field() -> None:
    for act in (lambda: to_data(Broken("x")), lambda: from_data(Broken, {})):
        (only,) = found(act)
        expected, _, got = only.partition(", got ")
        assert expected == "Broken.pal: expected a type that its module knows"
        assert got == "'Autor | None' (NameError: name 'Autor' is not defined)"


def test_all_of_them_are_told_wherever_the_class_is_met() -> None:
    with pytest.raises(CodecError) as caught:
        from_data(Box[list[Worse]], {"item": [{}]})
    assert [m.path for m in caught.value.mismatches] == ["Worse.pal", "Worse.odd"]


def test_defining_a_class_evaluates_nothing() -> None:
    assert Broken("x").pal is None
