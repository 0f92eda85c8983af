"""What a fork copies, what it shares, and what it refuses."""

from __future__ import annotations

import functools
import random
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import pytest
import trio
from attrs import define, field, frozen

from agentflow_trio.errors import StateForkError, StateTypeError
from agentflow_trio.state import fork


class Colour(Enum):
    RED = "red"


@frozen
class Author:
    name: str
    tags: tuple[str, ...] = ()


@frozen
class Shelf:
    books: list[str]
    author: Author


@define
class Page:
    text: str = ""
    lines: list[str] = field(factory=list[str])


@define
class Holder:
    value: Any = None
    other: Any = None


@define(slots=False)
class Open:
    value: Any = None


class Pair(NamedTuple):
    left: Any
    right: Any


class Plain:
    def __init__(self) -> None:
        self.items = [1]


class Topic(str):
    __slots__ = ()


class Noted(str):  # noqa: SLOT000 - it is to have a __dict__
    note = ""


def refuse(_instance: object, _attribute: object, _value: str) -> None:
    raise AssertionError("a validator ran")


def convert(_value: object) -> int:
    raise AssertionError("a converter ran")


# ---------------------------------------------------------------- the fork as a whole


def test_a_fork_is_an_equal_state_of_the_same_class_and_another_object() -> None:
    page = Page("hello", ["a"])
    forked = fork(page)
    assert forked == page
    assert type(forked) is Page
    assert forked is not page


def test_what_is_written_to_a_fork_is_not_seen_in_the_original_nor_the_other_way_round() -> (
    None
):
    page = Page("hello", ["a"])
    forked = fork(page)
    forked.text = "changed"
    forked.lines.append("b")
    page.lines.append("c")
    assert page == Page("hello", ["a", "c"])
    assert forked == Page("changed", ["a", "b"])


def test_no_init_validator_converter_or_hook_of_the_state_runs() -> None:
    @define
    class Careful:
        checked: str = field(validator=refuse)
        converted: int = field(converter=convert)

        def __attrs_post_init__(self) -> None:
            raise AssertionError("__init__ ran")

    state = object.__new__(Careful)
    object.__setattr__(state, "checked", "x")
    object.__setattr__(state, "converted", 3)
    forked = fork(state)
    assert (forked.checked, forked.converted) == ("x", 3)
    assert forked is not state


def test_private_fields_and_fields_outside_init_are_forked() -> None:
    @define
    class Hidden:
        _secret: list[int]
        count: int = field(init=False, default=0)

        def secret(self) -> list[int]:
            return self._secret

    state = Hidden([1])
    state.count = 7
    forked = fork(state)
    forked.secret().append(2)
    assert state.secret() == [1]
    assert forked.secret() == [1, 2]
    assert forked.count == 7


def test_a_field_that_was_never_set_stays_unset() -> None:
    @define
    class Late:
        name: str
        result: list[str] = field(init=False)

    forked = fork(Late("x"))
    assert forked.name == "x"
    assert not hasattr(forked, "result")


def test_an_unset_field_of_a_state_inside_a_state_stays_unset() -> None:
    @define
    class Late:
        result: list[str] = field(init=False)
        name: str = "n"

    forked = fork(Holder(Late()))
    assert forked.value.name == "n"
    assert not hasattr(forked.value, "result")


def test_fields_of_a_subclass_are_forked_and_the_class_is_kept() -> None:
    @define
    class Essay(Page):
        footnotes: list[str] = field(factory=list[str])

    forked = fork(Essay("t", ["l"], ["f"]))
    assert type(forked) is Essay
    assert forked == Essay("t", ["l"], ["f"])


def test_an_undecorated_subclass_keeps_its_class_and_its_own_attributes() -> None:
    class Draft(Page):
        def __init__(self) -> None:
            super().__init__("t")
            self.marks = ["m"]

    draft = Draft()
    forked = fork(draft)
    forked.marks.append("n")
    assert type(forked) is Draft
    assert draft.marks == ["m"]
    assert forked.marks == ["m", "n"]


def test_a_class_with_a_dict_is_forked_and_keeps_attributes_that_are_no_fields() -> None:
    state = Open([1])
    vars(state)["extra"] = [2]
    forked = fork(state)
    vars(forked)["extra"].append(3)
    forked.value.append(4)
    assert (state.value, vars(state)["extra"]) == ([1], [2])
    assert (forked.value, vars(forked)["extra"]) == ([1, 4], [2, 3])


def test_a_class_with_a_dict_and_nothing_but_fields_is_forked() -> None:
    forked = fork(Open("x"))
    assert forked == Open("x")


def test_a_cached_property_is_worked_out_again_in_the_fork() -> None:
    @define(slots=False)
    class Counted:
        items: list[int]

        @functools.cached_property
        def total(self) -> int:
            return sum(self.items)

    state = Counted([1, 2])
    assert state.total == 3
    forked = fork(state)
    forked.items.append(4)
    assert forked.total == 7


@define(unsafe_hash=True, cache_hash=True)
class Hashed:
    name: str


@define(unsafe_hash=True, cache_hash=True, slots=False)
class HashedOpen:
    name: str


@pytest.mark.parametrize("kind", [Hashed, HashedOpen])
def test_a_cached_hash_is_worked_out_again_in_the_fork(kind: type[Hashed | HashedOpen]) -> None:
    state = kind("a")
    assert hash(state) == hash(kind("a"))
    forked = fork(state)
    forked.name = "b"
    assert hash(forked) == hash(kind("b"))


def test_an_empty_state_can_be_forked() -> None:
    @define
    class Nothing:
        pass

    assert fork(Nothing()) == Nothing()


def test_a_frozen_state_that_holds_nothing_that_can_change_is_its_own_fork() -> None:
    author = Author("a", ("x",))
    assert fork(author) is author


def test_a_frozen_state_without_fields_is_its_own_fork() -> None:
    @frozen
    class Nothing:
        pass

    nothing = Nothing()
    assert fork(nothing) is nothing


def test_a_frozen_state_that_holds_a_list_is_copied() -> None:
    shelf = Shelf(["b"], Author("a"))
    forked = fork(shelf)
    forked.books.append("c")
    assert shelf == Shelf(["b"], Author("a"))
    assert forked == Shelf(["b", "c"], Author("a"))
    assert forked.author is shelf.author


# ---------------------------------------------------------------- what is shared


SHARED = [
    None,
    True,
    3,
    2.5,
    1j,
    "text",
    b"bytes",
    ...,
    range(3),
    object(),
    Colour.RED,
    Topic("t"),
    date(2026, 1, 2),
    datetime(2026, 1, 2, tzinfo=UTC),
    timedelta(1),
    UTC,
    Decimal("1.5"),
    Fraction(1, 3),
    UUID(int=3),
    Path("x"),
    PurePosixPath("y"),
    len,
    fork,
    Page,
    Colour,
    sys,
    list[int],
    ValueError("v"),
    (),
    (1, "a", (2.5, None)),
    frozenset({1, 2}),
    frozenset({Author("a")}),
    (Author("a"), Colour.RED),
    Author("a", ("x",)),
    Pair(1, ("a",)),
]


@pytest.mark.parametrize(
    "value",
    SHARED,
    ids=[f"{index}-{type(value).__name__}" for index, value in enumerate(SHARED)],
)
def test_what_cannot_change_is_shared(value: object) -> None:
    assert fork(Holder(value)).value is value


@pytest.mark.parametrize(
    "value",
    SHARED,
    ids=[f"{index}-{type(value).__name__}" for index, value in enumerate(SHARED)],
)
def test_what_cannot_change_is_shared_inside_what_is_copied(value: object) -> None:
    forked = fork(Holder([value]))
    assert forked.value[0] is value


@pytest.mark.parametrize("big", ["x" * 10_000_000, b"x" * 10_000_000], ids=["text", "bytes"])
def test_ten_megabytes_are_shared_wherever_they_are(big: object) -> None:
    state = Holder([{"a": (big,)}], Author("a", (str(big)[:3],)))
    assert fork(state).value[0]["a"][0] is big


def test_a_frozen_value_is_shared_even_if_it_has_a_dict_and_a_cache() -> None:
    @frozen(slots=False)
    class Cached:
        name: str

        @functools.cached_property
        def length(self) -> int:
            return len(self.name)

    cached = Cached("abc")
    assert cached.length == 3
    assert fork(Holder(cached)).value is cached


# ---------------------------------------------------------------- what is copied


def page() -> Page:
    return Page("t", ["l"])


COPIED: dict[str, Callable[[], Any]] = {
    "list": lambda: [1],
    "list of lists": lambda: [[1]],
    "dict": lambda: {"a": 1},
    "dict of lists": lambda: {"a": [1]},
    "dict with tuple keys": lambda: {Pair(1, 2): [1]},
    "set": lambda: {1, 2},
    "set of frozen": lambda: {Author("a")},
    "deque": lambda: deque([1], maxlen=3),
    "deque of lists": lambda: deque([[1]]),
    "bytearray": lambda: bytearray(b"x"),
    "tuple of a list": lambda: ([1],),
    "deep tuple": lambda: (1, ([1],)),
    "named tuple": lambda: Pair(1, [2]),
    "mapping proxy": lambda: MappingProxyType({"a": [1]}),
    "defaultdict": lambda: defaultdict(list[int], a=[1]),
    "attrs instance": page,
    "list of states": lambda: [page()],
    "tuple of states": lambda: (page(),),
    "frozen with a list": lambda: Shelf(["b"], Author("a")),
    "class with a dict": lambda: Open([1]),
    "str with a dict": lambda: Noted("x"),
}


@pytest.mark.parametrize("make", COPIED.values(), ids=COPIED)
def test_what_can_change_is_copied(make: Callable[[], Any]) -> None:
    value = make()
    forked = fork(Holder(value))
    assert forked.value == value
    assert type(forked.value) is type(value)
    assert forked.value is not value


def test_a_list_in_a_tuple_is_not_shared() -> None:
    state = Holder(([1], "x"))
    forked = fork(state)
    forked.value[0].append(2)
    assert state.value == ([1], "x")


def test_a_deque_keeps_its_bound() -> None:
    assert fork(Holder(deque([1], maxlen=3))).value.maxlen == 3


def test_keys_that_can_change_are_copied_with_their_identity_kept_in_the_fork() -> None:
    key = Plain()
    state = Holder({key: "v"}, key)
    forked = fork(state)
    assert forked.other is not key
    assert forked.value[forked.other] == "v"


def test_members_of_sets_that_can_change_are_copied() -> None:
    member = Plain()
    forked = fork(Holder({member}, frozenset({member})))
    (inner,) = forked.value
    (frozen_inner,) = forked.other
    assert inner is not member
    assert inner is frozen_inner


def test_objects_of_unknown_classes_are_copied_deeply() -> None:
    state = Holder(Plain())
    forked = fork(state)
    forked.value.items.append(2)
    assert state.value.items == [1]


def test_a_copied_random_generator_goes_on_alike() -> None:
    forked = fork(Holder(random.Random(7)))
    assert forked.value.random() == random.Random(7).random()


def test_an_attrs_class_that_is_also_a_container_is_copied_whole() -> None:
    @define(slots=False, order=False)
    class Bag(list[int]):
        label: str = ""

    bag = Bag("l")
    bag.append(1)
    forked = fork(Holder(bag))
    assert forked.value is not bag
    assert list(forked.value) == [1]
    assert forked.value.label == "l"


# ---------------------------------------------------------------- identity inside one state


def test_what_two_fields_hold_in_common_the_fork_holds_in_common() -> None:
    shared = [1]
    forked = fork(Holder(shared, {"deep": (shared,)}))
    forked.value.append(2)
    assert forked.other["deep"][0] is forked.value
    assert shared == [1]


@pytest.mark.parametrize("make", COPIED.values(), ids=COPIED)
def test_any_copied_value_is_copied_once(make: Callable[[], Any]) -> None:
    value = make()
    forked = fork(Holder(value, value))
    assert forked.value is forked.other


def test_cycles_are_kept() -> None:
    items: list[Any] = [1]
    items.append(items)
    state = Holder(items)
    state.other = state
    forked = fork(state)
    assert forked.other is forked
    assert forked.value is not items
    assert forked.value[1] is forked.value


def test_a_cycle_through_a_tuple_is_kept() -> None:
    items: list[Any] = []
    loop = (items,)
    items.append(loop)
    forked = fork(Holder(loop))
    assert forked.value[0][0] is forked.value


def test_a_cycle_through_a_frozen_value_is_kept() -> None:
    shelf = Shelf([], Author("a"))
    books: list[Any] = shelf.books
    books.append(shelf)
    forked = fork(Holder(shelf))
    assert forked.value is not shelf
    assert forked.value.books[0] is forked.value


def test_a_bound_method_of_the_state_is_bound_to_the_fork() -> None:
    state = Holder([1])
    state.other = state.__repr__
    forked = fork(state)
    assert forked.other.__self__ is forked


# ---------------------------------------------------------------- objects that fork themselves


class Counter:
    """Counts how often it was forked."""

    made: ClassVar[int] = 0

    def __agentflow_fork__(self) -> Counter:
        Counter.made += 1
        return Counter()


def test_an_object_with_the_hook_forks_itself_once() -> None:
    Counter.made = 0
    counter = Counter()
    forked = fork(Holder(counter, [counter]))
    assert forked.value is not counter
    assert forked.value is forked.other[0]
    assert Counter.made == 1


def test_a_state_with_the_hook_forks_itself() -> None:
    @define
    class Own:
        name: str = ""

        def __agentflow_fork__(self) -> Own:
            return Own(f"{self.name}+")

    assert fork(Own("a")) == Own("a+")


# ---------------------------------------------------------------- what is refused


@dataclass
class Data:
    x: int = 0


REFUSED = [
    (
        {"a": 1},
        "dict",
        "define a class with @attrs.define that has a field for each key, or use SharedState",
    ),
    (Data(), "Data", "decorate Data with @attrs.define instead of @dataclass"),
    (Plain(), "Plain", "decorate Plain with @attrs.define"),
    ([1], "list", "define a class with @attrs.define and give it a field for this value"),
    (
        Pair(1, 2),
        "Pair",
        "define a class with @attrs.define and give it a field for this value",
    ),
    (None, "NoneType", "define a class with @attrs.define and give it a field for this value"),
    (Page, "the class Page", "give an instance: Page(...)"),
]


@pytest.mark.parametrize(("state", "got", "remedy"), REFUSED, ids=lambda part: str(part)[:20])
def test_what_is_no_attrs_class_is_refused_with_a_remedy(
    state: object, got: str, remedy: str
) -> None:
    with pytest.raises(StateTypeError) as caught:
        fork(state)
    assert (caught.value.got, caught.value.remedy) == (got, remedy)
    assert str(caught.value) == f"the shared state must be an attrs class, not {got}; {remedy}"


def test_an_attrs_class_derived_from_a_built_in_one_is_no_state() -> None:
    @define(slots=False)
    class Bag(dict[str, int]):
        label: str = ""

    with pytest.raises(StateTypeError, match="let Bag not derive from a built-in class"):
        fork(Bag())


def test_a_value_that_cannot_be_copied_is_named_with_its_field_and_the_remedy() -> None:
    @define
    class Article:
        client: object

    with pytest.raises(StateForkError) as caught:
        fork(Article(threading.Lock()))
    assert str(caught.value) == (
        "Article.client holds a lock, which cannot be copied (cannot pickle '_thread.lock' object); "
        "lend it to steps as a Resource, or keep a frozen value here"
    )


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda bad: [0, bad], "Holder.value[1]"),
        (lambda bad: (0, bad), "Holder.value[1]"),
        (lambda bad: {"k": bad}, "Holder.value['k']"),
        (lambda bad: {bad: 1}, "Holder.value[<generator>]"),
        (lambda bad: MappingProxyType({"k": bad}), "Holder.value['k']"),
        (lambda bad: Shelf([bad], Author("a")), "Holder.value.books[0]"),
        (lambda bad: Holder(None, [{"a": bad}]), "Holder.value.other[0]['a']"),
        (lambda bad: Open({"a": bad}), "Holder.value.value['a']"),
        (lambda bad: deque([bad]), "Holder.value[0]"),
    ],
    ids=["list", "tuple", "dict", "key", "proxy", "frozen", "nested", "open", "deque"],
)
def test_the_error_leads_to_the_value_at_any_depth(
    wrap: Callable[[object], object], place: str
) -> None:
    bad = generator()
    with pytest.raises(StateForkError) as caught:
        fork(Holder(wrap(bad)))
    assert caught.value.field.replace(repr(bad), "<generator>") == place
    assert caught.value.got == "generator"


def test_the_error_leads_to_a_value_in_a_field_beside_an_unset_one() -> None:
    @define
    class Late:
        result: str = field(init=False)
        bad: object = None

    with pytest.raises(StateForkError) as caught:
        fork(Late(generator()))
    assert caught.value.field == "Late.bad"


def test_what_belongs_to_live_tasks_is_refused_rather_than_copied() -> None:
    with pytest.raises(StateForkError) as caught:
        fork(Holder(trio.Event()))
    assert caught.value.field == "Holder.value"
    assert caught.value.got == "trio.Event"
    assert caught.value.reason == "tasks that wait for the original would not know the copy"


class Shy:
    def __deepcopy__(self, _memo: object) -> Shy:
        raise ValueError


def test_an_error_without_words_is_told_by_its_class() -> None:
    with pytest.raises(StateForkError) as caught:
        fork(Holder(Shy()))
    assert caught.value.reason == "ValueError()"


def nested(depth: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(depth):
        items = [items]
    return items


def test_nesting_beyond_the_recursion_limit_is_an_error_of_the_state() -> None:
    with pytest.raises(StateForkError, match="nested deeper than Python's recursion limit"):
        fork(Holder(nested(100_000)))


def test_nesting_beyond_the_limit_in_an_unknown_object_is_an_error_of_the_state() -> None:
    plain = Plain()
    plain.items = nested(100_000)
    with pytest.raises(StateForkError, match="nested deeper than Python's recursion limit"):
        fork(Holder(plain))
