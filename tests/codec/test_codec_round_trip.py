"""What is written comes back equal; and how it is written."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import (
    Callable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NewType,
    Optional,
    TypeAlias,
    TypeVar,
    Union,
)
from uuid import UUID

import pytest
import typing_extensions
from attrs import Factory, define, field, frozen, make_class
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.codec import dump, from_data, load, to_data
from agentflow_trio.state import SharedState, StateKey, added

Anything: TypeAlias = Any

T = TypeVar("T")
K = TypeVar("K")

Money = NewType("Money", int)
LiteralOrStr: Any = Literal["a"] | str  # noqa: PYI051 - users write it
NoneInLiteral: Any = Literal["a", None]  # noqa: PYI061 - users write it
Alias = typing_extensions.TypeAliasType("Alias", tuple[int, ...])


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"
    CRIMSON = "red"  # noqa: PIE796 - an alias


class Size(enum.IntEnum):
    SMALL = 1
    BIG = 2


class Odd(enum.Enum):
    PAIR = (1, 2)
    NONE = None


class Perm(enum.Flag):
    READ = 1
    WRITE = 2


@frozen
class Cat:
    name: str


@frozen
class Dog:
    name: str
    age: int = 0


@frozen
class Box(Generic[T]):
    item: T
    more: tuple[T, ...] = ()
    maybe: T | None = None


@frozen
class IntBox(Box[int]):
    label: str = ""


@frozen
class Crate(Box[K], Generic[K, T]):
    other: T | None = None


@define
class Node:
    value: int
    children: list[Node] = field(factory=list["Node"])
    parent: Optional[Node] = None  # noqa: UP045 - both ways are written


@define
class Hidden:
    _secret: str
    alias: int = field(alias="other")
    made: int = field(init=False, default=3)
    late: str = field(init=False)


@frozen
class Fixed:
    size: int
    double: int = field(
        init=False, default=Factory(lambda self: self.size * 2, takes_self=True)
    )


@define
class Versioned:
    __schema_version__: ClassVar[int] = 3
    name: str = ""


@define
class Article:
    topic: str
    author: Cat | None = None
    pets: tuple[Cat | Dog, ...] = ()
    scores: dict[str, float] = field(factory=dict[str, float])
    colour: Colour = Colour.RED


Untyped = make_class("Untyped", ["anything"])


class Board(SharedState):
    DRAFT = StateKey("draft", str)
    NOTES = StateKey("notes", tuple[str, ...], rule=added)
    PET = StateKey("pet", Dog)


Kind = Any

VALUES: dict[str, tuple[Kind, Any, Any]] = {
    "none": (None, None, None),
    "bool": (bool, True, True),
    "int": (int, -(10**30), -(10**30)),
    "float": (float, 0.1, 0.1),
    "int as float": (float, 2**53, 2**53),
    "inf": (float, -math.inf, "-inf"),
    "str": (str, "ä\ud800\x00", "ä\ud800\x00"),
    "bytes": (bytes, b"\x00\xff", "AP8="),
    "bytearray": (bytearray, bytearray(b"a"), "YQ=="),
    "datetime": (datetime, datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006"),  # noqa: DTZ001
    "aware": (
        datetime,
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))),
        "2026-01-02T00:00:00+01:00",
    ),
    "date": (date, date(2026, 1, 2), "2026-01-02"),
    "time": (time, time(3, 4, tzinfo=UTC), "03:04:00+00:00"),
    "timedelta": (timedelta, timedelta(days=-1, microseconds=500_000), "P-1DT0.5S"),
    "whole timedelta": (timedelta, timedelta(seconds=90), "P0DT90S"),
    "Decimal": (Decimal, Decimal("1.50"), "1.50"),
    "UUID": (UUID, UUID(int=3), "00000000-0000-0000-0000-000000000003"),
    "Path": (Path, Path("a/b"), "a/b"),
    "PurePosixPath": (PurePosixPath, PurePosixPath("/x"), "/x"),
    "enum": (Colour, Colour.BLUE, "blue"),
    "enum alias": (Colour, Colour.CRIMSON, "red"),
    "int enum": (Size, Size.BIG, 2),
    "enum by name": (Odd, Odd.NONE, "NONE"),
    "flag": (Perm, Perm.READ | Perm.WRITE, 3),
    "literal": (Literal["a", 1, Colour.RED], Colour.RED, "red"),
    "literal int": (Literal["a", 1, True], 1, 1),
    "list": (list[int], [1, 2], [1, 2]),
    "bare list": (list, [1, "a", None, [2.5]], [1, "a", None, [2.5]]),
    "tuple": (tuple[int, ...], (1, 2), [1, 2]),
    "bare tuple": (tuple, (1, "a"), [1, "a"]),
    "row": (tuple[int, str], (1, "a"), [1, "a"]),
    "empty row": (tuple[()], (), []),
    "set": (set[str], {"b", "a", "c"}, ["a", "b", "c"]),
    "frozenset": (frozenset[int], frozenset({2, 10}), [10, 2]),
    "Sequence": (Sequence[int], (1,), [1]),
    "MutableSequence": (MutableSequence[int], [1], [1]),
    "Set": (AbstractSet[int], frozenset({1}), [1]),
    "MutableSet": (MutableSet[int], {1}, [1]),
    "Mapping": (Mapping[str, int], {"a": 1}, {"a": 1}),
    "MutableMapping": (MutableMapping[str, int], {"a": 1}, {"a": 1}),
    "dict": (dict[str, list[int]], {"": [1]}, {"": [1]}),
    "bare dict": (dict, {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    "int keys": (dict[int, str], {-3: "a", 0: "b"}, {"-3": "a", "0": "b"}),
    "enum keys": (dict[Colour, int], {Colour.RED: 1}, {"red": 1}),
    "int enum keys": (dict[Size, int], {Size.BIG: 1}, {"2": 1}),
    "date keys": (dict[date, int], {date(2026, 1, 2): 1}, {"2026-01-02": 1}),
    "optional": (int | None, None, None),
    "old optional": (Optional[int], 3, 3),  # noqa: UP045
    "old union": (Union[int, str], "3", "3"),  # noqa: UP007
    "int or float": (int | float, 1, 1),
    "float or int": (int | float, 1.0, 1.0),
    "inf or none": (float | None, math.inf, "inf"),
    "bool or int": (bool | int, 1, 1),
    "literal or str": (LiteralOrStr, "b", "b"),
    "literal or str, the literal": (LiteralOrStr, "a", "a"),
    "none in a literal": (NoneInLiteral, None, None),
    "enum or int": (Colour | int, Colour.RED, "red"),
    "list or dict": (list[int] | dict[str, int], {"a": 1}, {"a": 1}),
    "nested union": (Union[Annotated[int | str, "x"], None], "a", "a"),  # noqa: UP007
    "anything in a union": (Any | None, [1], [1]),
    "any": (Any, {"a": [1, 2.5, True, None, "x"]}, {"a": [1, 2.5, True, None, "x"]}),
    "object": (object, "x", "x"),
    "class": (Dog, Dog("d", 3), {"name": "d", "age": 3}),
    "class or none": (Dog | None, Dog("d"), {"name": "d", "age": 0}),
    "one of two classes": (Cat | Dog, Dog("d"), {"$type": "Dog", "name": "d", "age": 0}),
    "one of two or none": (Cat | Dog | None, None, None),
    "generic": (Box[int], Box(1, (2,)), {"item": 1, "more": [2], "maybe": None}),
    "generic of a class": (
        Box[Cat],
        Box(Cat("c"), (), Cat("d")),
        {"item": {"name": "c"}, "more": [], "maybe": {"name": "d"}},
    ),
    "generic base": (
        IntBox,
        IntBox(1, (2,), None, "l"),
        {"item": 1, "more": [2], "maybe": None, "label": "l"},
    ),
    "generic on generic": (
        Crate[str, int],
        Crate("a", (), None, 3),
        {"item": "a", "more": [], "maybe": None, "other": 3},
    ),
    "own kind inside": (
        Node,
        Node(1, [Node(2)], Node(3)),
        {
            "value": 1,
            "children": [{"value": 2, "children": [], "parent": None}],
            "parent": {"value": 3, "children": [], "parent": None},
        },
    ),
    "computed field": (Fixed, Fixed(2), {"size": 2, "double": 4}),
    "new type": (Money, Money(3), 3),
    "annotated": (Annotated[int, "x"], 3, 3),
    "alias": (Alias, (1, 2), [1, 2]),
    "untyped": (Untyped, Untyped([1]), {"anything": [1]}),
}


@pytest.mark.parametrize(("kind", "value", "data"), VALUES.values(), ids=VALUES)
def test_a_value_is_written_as_the_page_says_and_comes_back(
    kind: Kind, value: Anything, data: Anything
) -> None:
    holder: Any = Box[kind]
    written = to_data_as(kind, value)
    assert written == data
    assert type(written) is type(data)
    again = from_data(kind, json.loads(json.dumps(written)))
    assert again == value
    assert type(again) is type(value) or (type(value) is int and kind is float)
    boxed = Box(value)
    assert from_data(holder, {"item": data}) == boxed


def to_data_as(kind: Kind, value: Anything) -> Anything:
    """Write *value* as a field of type *kind* is written."""
    made: Any = make_class("Made", {"value": field(type=kind)})
    return to_data(made(value))["value"]


@pytest.mark.parametrize(
    "state",
    [
        Article("t", Cat("c"), (Dog("d"), Cat("e")), {"a": 1.5}, Colour.BLUE),
        Node(1, [Node(2)]),
        Versioned("x"),
        IntBox(1),
        Fixed(3),
    ],
    ids=["article", "node", "versioned", "generic base", "fixed"],
)
def test_load_gives_back_what_dump_wrote(state: Anything) -> None:
    assert load(type(state), dump(state)) == state


def test_the_text_is_one_line_of_plain_json_in_an_envelope() -> None:
    assert dump(Cat("ä")) == '{"schema_version": 1, "value": {"name": "\\u00e4"}}'


def test_the_schema_version_of_the_class_is_written() -> None:
    assert dump(Versioned("x")) == '{"schema_version": 3, "value": {"name": "x"}}'
    assert to_data(Versioned("x")) == {"name": "x"}


def test_private_fields_aliases_and_fields_outside_init_come_back() -> None:
    hidden = Hidden("s", 1)
    hidden.made = 4
    hidden.late = "l"
    assert to_data(hidden) == {"secret": "s", "other": 1, "made": 4, "late": "l"}
    assert from_data(Hidden, to_data(hidden)) == hidden


def test_a_field_with_a_default_may_be_missing_inside_or_outside_init() -> None:
    assert from_data(Article, {"topic": "t"}) == Article("t")
    found = from_data(Hidden, {"secret": "s", "other": 1, "late": "l"})
    assert found.made == 3
    assert from_data(Fixed, {"size": 3}).double == 6


def test_fields_outside_init_of_a_frozen_class_come_back() -> None:
    assert from_data(Fixed, {"size": 2, "double": 5}).double == 5


def increased(size: int) -> int:
    return size + 1


@define
class Grown:
    size: int = field(converter=increased)


def test_validators_and_converters_run_when_reading() -> None:
    assert from_data(Grown, {"size": 1}).size == 2


def test_containers_of_states_are_written_as_their_items_are() -> None:
    cats = [Cat("a"), Cat("b")]
    assert load(list[Cat], dump(cats)) == cats
    by_size = {Size.BIG: (Cat("a"), frozenset({1}))}
    assert to_data(by_size) == {"2": [{"name": "a"}, [1]]}
    assert from_data(dict[Size, tuple[Cat, frozenset[int]]], to_data(by_size)) == by_size


def test_a_generic_class_is_written_by_what_it_holds() -> None:
    assert load(Box[Cat], dump(Box(Cat("c"), (), Cat("d")))) == Box(Cat("c"), (), Cat("d"))


def test_an_int_stands_for_a_float_where_a_float_is_read() -> None:
    found = from_data(float, 3)
    assert found == 3.0
    assert type(found) is float


def test_an_annotation_that_has_no_hash_is_understood() -> None:
    kind: Any = Annotated[int, []]
    assert to_data_as(kind, 3) == 3
    assert from_data(kind, 3) == 3


def test_nan_comes_back_as_nan() -> None:
    found = load(Box[float], dump(Box(math.nan)))
    assert math.isnan(found.item)


def test_the_same_set_always_gives_the_same_text() -> None:
    words = [f"w{n}" for n in range(50)]
    assert dump({*words}) == dump({*words[::-1]})
    assert to_data({(2, "b"), (1, "c")}) == [[1, "c"], [2, "b"]]


def test_a_blackboard_comes_back_through_its_declared_keys() -> None:
    board = Board()
    board.insert(Board.NOTES, ("a", "b"))
    board.insert(Board.PET, Dog("d"))
    assert dump(board) == (
        '{"schema_version": 1, "value": {"notes": ["a", "b"], "pet": {"name": "d", "age": 0}}}'
    )
    again = load(Board, dump(board))
    assert again == board
    assert again[Board.NOTES] == ("a", "b")


def test_an_empty_blackboard_needs_no_declaration() -> None:
    assert load(SharedState, dump(SharedState())) == SharedState()


def test_a_blackboard_in_a_state_comes_back() -> None:
    board = Board()
    board.insert(Board.DRAFT, "x")
    assert from_data(Box[Board], to_data(Box(board))) == Box(board)


# ---------------------------------------------------------------- laws

KEYS = st.text(max_size=4)
KINDS: list[tuple[Kind, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False)),
    (str, st.text(max_size=5)),
    (bytes, st.binary(max_size=5)),
    (type(None), st.none()),
    (datetime, st.datetimes() | st.datetimes(timezones=st.just(UTC))),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Decimal, st.decimals(allow_nan=False)),
    (UUID, st.uuids()),
    (Colour, st.sampled_from(Colour)),
    (Size, st.sampled_from(Size)),
    (Perm, st.sampled_from([Perm(0), Perm.READ, Perm.READ | Perm.WRITE])),
    (Literal["a", 1, True], st.sampled_from(["a", 1, True])),
    (Cat, st.builds(Cat, st.text(max_size=3))),
    (Cat | Dog | None, st.none() | st.builds(Cat, KEYS) | st.builds(Dog, KEYS, st.integers())),
    (
        int | str | float,
        st.integers() | st.text(max_size=3) | st.floats(allow_nan=False, allow_infinity=False),
    ),
    (dict[int, str], st.dictionaries(st.integers(), KEYS, max_size=3)),
    (dict[Colour, bool], st.dictionaries(st.sampled_from(Colour), st.booleans())),
    (set[date], st.sets(st.dates(), max_size=3)),
]


def of(origin: Anything, kind: Anything, *kinds: Anything) -> Anything:
    return origin[kind, *kinds] if kinds else origin[kind]


WRAPS: list[
    Callable[[Anything, st.SearchStrategy[Any]], tuple[Anything, st.SearchStrategy[Any]]]
] = [
    lambda kind, values: (of(list, kind), st.lists(values, max_size=3)),
    lambda kind, values: (of(tuple, kind, ...), st.lists(values, max_size=3).map(tuple)),
    lambda kind, values: (of(tuple, kind, int), st.tuples(values, st.integers())),
    lambda kind, values: (of(dict, str, kind), st.dictionaries(KEYS, values, max_size=3)),
    lambda kind, values: (
        of(Box, kind),
        st.builds(Box, values, st.lists(values, max_size=2).map(tuple)),
    ),
]


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Kind, Any]:
    """A type, and a value of it."""
    kind, values = draw(st.sampled_from(KINDS))
    for wrap in draw(st.lists(st.sampled_from(WRAPS), max_size=3)):
        kind, values = wrap(kind, values)
    return kind, draw(values)


def classes_of(value: Anything) -> Anything:
    """The classes of a value and of what it holds: 1 == True == 1.0, but they must come back as they were."""
    if isinstance(value, list | tuple):
        return type(value), [classes_of(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(classes_of(key), classes_of(item)) for key, item in value.items()]
    if isinstance(value, Box):
        return Box, classes_of(value.item), classes_of(value.more)
    return type(value)


@given(st.lists(typed_values(), min_size=1, max_size=4))
def test_any_state_comes_back_equal(fields: list[tuple[Kind, Any]]) -> None:
    kind: Any = make_class(
        "State", {f"field_{at}": field(type=hint) for at, (hint, _) in enumerate(fields)}
    )
    state = kind(*(value for _, value in fields))
    again = load(kind, dump(state))
    assert again == state
    for at, (_, value) in enumerate(fields):
        assert classes_of(getattr(again, f"field_{at}")) == classes_of(value)
