"""Promises of fork and merge that only a changed line in a core broke: places, looks, identity.

Mutation testing (docs/mutants.md) found lines that could be changed unnoticed; each test here
notices one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pickle import PickleBuffer
from types import MappingProxyType
from typing import Any, ClassVar, SupportsIndex

import pytest
import trio
from attrs import define, field, frozen
from typing_extensions import override

from agentflow_trio.errors import MergeConflictError, StateForkError
from agentflow_trio.state import SharedState, StateKey, fork, latest, merge, merged_by


@define
class Holder:
    value: Any = None
    other: Any = None


@frozen
class Author:
    name: str


@frozen
class Book:
    author: Author
    title: str = ""


class Plain:
    """Compared by identity: a copy of it is never equal to it."""

    def __init__(self, size: int = 1) -> None:
        self.size = size


@define
class Late:
    """An instance of it cannot be compared while its result is not set."""

    result: Any = field(init=False)
    name: Any = None


def generator() -> Iterator[int]:
    yield 1


def place_of(error: StateForkError, bad: object) -> str:
    return error.field.replace(repr(bad), "<generator>")


def taken(before: object, first: object, second: object) -> object:
    """What becomes of a field that held *before* when two branches wrote this to it."""
    states = [("a", Holder(first)), ("b", Holder(second))]
    return merge(Holder(before), states).value


# ---------------------------------------------------------------- a class is looked at once


class Watched(type):
    """Counts how often somebody asks what a class is."""

    looks: ClassVar[int] = 0

    def __getattribute__(cls, name: str) -> Any:
        if name in {"__agentflow_fork__", "__attrs_attrs__"}:
            Watched.looks += 1
        return super().__getattribute__(name)


def shared() -> type[Any]:
    class Word(str, metaclass=Watched):
        __slots__ = ()

    return Word


def copied() -> type[Any]:
    class Thing(metaclass=Watched):
        pass

    return Thing


def forked_by_field() -> type[Any]:
    @define
    class Note(metaclass=Watched):
        text: str = ""

    return Note


@pytest.mark.parametrize("new_class", [shared, copied, forked_by_field])
def test_a_class_is_looked_at_for_the_first_of_its_instances_only(
    new_class: Callable[[], type[Any]],
) -> None:
    kind = new_class()
    Watched.looks = 0
    fork(Holder(kind()))
    first = Watched.looks
    fork(Holder([kind(), kind()]))
    assert first > 0
    assert Watched.looks == first


@pytest.mark.parametrize("use", [fork, lambda state: merge(state, [])], ids=["fork", "merge"])
def test_the_class_of_a_state_is_looked_at_once(use: Callable[[Any], Any]) -> None:
    @define
    class State(metaclass=Watched):
        text: str = ""

    Watched.looks = 0
    use(State())
    first = Watched.looks
    use(State())
    assert first > 0
    assert Watched.looks == first


# ---------------------------------------------------------------- what is shared, what is copied


def test_a_frozen_value_in_a_frozen_value_is_shared_with_it() -> None:
    book = Book(Author("a"))
    assert fork(Holder(book)).value is book


def test_what_belongs_to_live_tasks_is_refused_wherever_trio_keeps_its_class() -> None:
    with pytest.raises(StateForkError) as caught:
        fork(Holder(trio.lowlevel.ParkingLot()))
    assert (caught.value.field, caught.value.got) == ("Holder.value", "trio.ParkingLot")


def test_a_key_of_a_mapping_proxy_that_can_change_is_copied_and_stays_itself_in_the_fork() -> (
    None
):
    key = Plain()
    forked = fork(Holder(MappingProxyType({key: "v"}), key))
    assert forked.other is not key
    assert forked.value[forked.other] == "v"


def test_what_a_value_with_an_unset_field_holds_in_common_stays_in_common() -> None:
    late = Late([1])
    forked = fork(Holder(late, late.name))
    assert forked.other is forked.value.name
    assert forked.other is not late.name


def test_a_cycle_through_a_value_with_an_unset_field_is_kept() -> None:
    late = Late([])
    late.name.append(late)
    forked = fork(late)
    assert forked is not late
    assert forked.name[0] is forked


# ---------------------------------------------------------------- where an error leads


def test_a_key_of_a_mapping_proxy_that_cannot_be_copied_is_named() -> None:
    bad = generator()
    with pytest.raises(StateForkError) as caught:
        fork(Holder(MappingProxyType({bad: 1})))
    assert place_of(caught.value, bad) == "Holder.value[<generator>]"


def nested(depth: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(depth):
        items = [items]
    return items


def test_too_deep_a_nesting_is_told_with_the_state_it_is_in() -> None:
    with pytest.raises(StateForkError) as caught:
        fork(Holder(nested(100_000)))
    error = caught.value
    assert (error.field, error.got, error.reason) == (
        "Holder",
        "value",
        "it is nested deeper than Python's recursion limit",
    )


def test_too_deep_a_nesting_in_an_unknown_object_is_told_with_its_field() -> None:
    plain: Any = Plain()
    plain.items = nested(100_000)
    with pytest.raises(StateForkError) as caught:
        fork(Holder(None, plain))
    assert (caught.value.field, caught.value.got) == ("Holder.other", "value")


def test_a_value_of_the_base_that_cannot_be_copied_is_named_by_the_merge() -> None:
    with pytest.raises(StateForkError) as caught:
        merge(Holder(None, generator()), [])
    assert caught.value.field == "Holder.other"


def test_a_key_of_the_base_that_cannot_be_copied_is_named_by_the_merge() -> None:
    board = SharedState()
    board.insert(StateKey("job", object), generator())
    with pytest.raises(StateForkError) as caught:
        merge(board, [])
    assert caught.value.field == "SharedState['job']"


def test_a_value_that_cannot_be_copied_for_a_rule_is_named_by_the_merge() -> None:
    @define
    class Ruled:
        value: Any = field(default=None, metadata=merged_by(latest))

    with pytest.raises(StateForkError) as caught:
        merge(Ruled(generator()), [("a", Ruled(1)), ("b", Ruled(2))])
    assert caught.value.field == "Ruled.value"


# ---------------------------------------------------------------- who wrote, and whose value stays


def test_a_key_that_nobody_wrote_is_not_put_to_its_rule() -> None:
    def never(base: list[int], theirs: list[int], mine: list[int]) -> list[int]:
        raise AssertionError("the rule was asked")

    board = SharedState()
    board.insert(StateKey("notes", list[int], rule=never), [1])
    result = merge(board, [("a", fork(board)), ("b", fork(board))])
    assert result.get(StateKey("notes", list[int])) == [1]


def test_an_equal_text_beside_an_object_is_no_change() -> None:
    text, other = "xy", [Plain(), "z"]
    equal = "".join(text)
    assert equal is not text
    assert taken([Plain(), text], [Plain(), equal], other) is other


def test_an_item_kept_as_it_is_is_no_change_even_if_it_cannot_be_looked_into() -> None:
    closed, other = generator(), [Plain(2)]
    assert taken([closed, Plain()], [closed, Plain()], other) is other


def test_an_item_of_another_class_with_equal_parts_is_a_change() -> None:
    written = [(Plain(),)]
    assert taken([[Plain()]], written, [[Plain()]]) is written


def test_one_object_twice_is_not_two_objects_that_differ() -> None:
    first = Plain(1)
    twice, apart = [first, first], [Plain(1), Plain(2)]
    assert taken(twice, apart, [Plain(1), Plain(1)]) is apart
    assert taken(apart, twice, [Plain(1), Plain(2)]) is twice


class Slim:
    """What it is made from is put together anew for everybody who asks."""

    __slots__ = ("size",)

    def __init__(self, size: int = 1) -> None:
        self.size = size


def test_a_change_in_the_last_of_many_objects_is_seen() -> None:
    # What one is made from may lie where what the one before was made from lay.
    def many(last: int) -> list[Slim]:
        return [*(Slim() for _ in range(50)), Slim(last)]

    written = many(2)
    assert taken(many(1), written, many(1)) is written


def test_an_unset_field_of_an_item_is_no_change_and_one_set_to_none_is() -> None:
    def set_to_none() -> list[Late]:
        late = Late()
        late.result = None
        return [late]

    none, unset = set_to_none(), [Late()]
    assert taken([Late()], none, [Late()]) is none
    assert taken(none, unset, set_to_none()) is unset


class Keyed:
    """Equal by its key; how often it was read is no part of it."""

    def __init__(self, key: str, reads: int) -> None:
        self.key, self.reads = key, reads

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyed) and self.key == other.key

    __hash__ = None  # type: ignore[assignment]


def test_an_equal_item_beside_an_object_is_no_change_whatever_else_it_holds() -> None:
    before, other = [Plain(), Keyed("k", 1)], [Plain(), Keyed("l", 1)]
    assert taken(before, [Plain(), Keyed("k", 2)], other) is other


class Yielding:
    """Tells its items one by one, by a generator, to who copies it."""

    def __init__(self, *items: int) -> None:
        self.items = [*items]

    def append(self, item: int) -> None:
        self.items.append(item)

    @override
    def __reduce_ex__(self, protocol: object) -> Any:
        return Yielding, (), None, (item for item in self.items)


def test_items_that_a_class_yields_to_its_copier_are_compared() -> None:
    written = Yielding(1, 3)
    assert taken(Yielding(1, 2), written, Yielding(1, 2)) is written
    with pytest.raises(MergeConflictError):
        taken(Yielding(1, 2), written, Yielding(1))


class Grid:
    """Hands out its buffer to who can take it, as arrays do; a buffer is equal to itself only."""

    def __init__(self, cells: bytes) -> None:
        self.cells = cells

    @override
    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[type[Grid], tuple[object]]:
        return Grid, (PickleBuffer(self.cells) if int(protocol) >= 5 else self.cells,)


def test_values_that_can_hand_out_a_buffer_are_compared_by_what_is_in_it() -> None:
    other = Grid(b"b")
    assert taken(Grid(b"a"), Grid(b"a"), other) is other
