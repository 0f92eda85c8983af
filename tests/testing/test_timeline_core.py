"""What a timeline is kept in: instants, values within bounds, paths, series."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio.events import Progress
from agentflow_trio.testing._diff import Account, compared
from agentflow_trio.testing._timeline_core import (
    BEFORE,
    Instants,
    Kept,
    Series,
    matches,
    parting,
    weight_of,
)


def instants(*pairs: tuple[float, int]) -> Instants:
    made = Instants()
    for time, steps in pairs:
        made.add(time, steps)
    return made


def test_instants_are_counted_from_nothing() -> None:
    made = Instants()
    assert [made.add(time, 1) for time in (0.0, 0.0, 2.5)] == [0, 0, 1]


def test_an_instant_that_goes_on_is_still_the_same() -> None:
    made = instants((0.0, 3), (0.0, 5), (2.5, 6), (2.5, 9))
    assert [*made.times] == [0.0, 2.5]
    assert [*made.steps] == [5, 9]
    assert [made.before(time) for time in (0, 1, 2.5, 3)] == [BEFORE, 0, 0, 1]
    assert made.told(1) == "2.5 s: 9 steps made"
    assert made.told(2) is None


def test_two_runs_part_at_the_first_instant_that_is_not_in_both() -> None:
    one, two = instants((0.0, 3), (1.0, 5), (2.0, 6)), instants((0.0, 3), (1.0, 6))
    assert one.parts(two) == 1
    assert one.parts(two, 1.0) is None
    assert one.parts(instants((0.0, 3), (1.0, 5))) == 2
    assert one.parts(one) is None
    assert one.parts(instants((0.0, 3), (1.5, 5), (2.0, 6))) == 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 40))
def test_what_is_kept_stays_within_bounds_and_is_what_was_put(
    weights: list[int], room: int
) -> None:
    kept: Kept[int] = Kept(room)
    put: dict[int, int] = {}
    for number, weight in enumerate(weights, BEFORE):
        if kept.wants(number):
            kept.put(number, number * 10, weight)
            put[number] = weight
    found = [number for number in range(BEFORE, len(weights)) if _has(kept, number)]
    assert all(kept.find(number) == number * 10 for number in found)
    assert sum(put[number] for number in found) <= max(room, 18)
    if sum(weights) <= room:
        assert len(found) == len(weights)


def _has(kept: Kept[int] | Kept[str], number: int) -> bool:
    try:
        kept.find(number)
    except KeyError:
        return False
    return True


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), min_size=1, max_size=60))
def test_what_does_not_change_takes_the_room_of_one(changes: list[tuple[bool, int]]) -> None:
    kept: Kept[str] = Kept(20)
    put: dict[int, str] = {}
    value, weighed = "begin", 0
    for number, (new, weight) in enumerate(changes, BEFORE):
        if new:
            value, weighed = f"since {number}", weighed + weight
        if kept.wants(number):
            kept.put(number, value, weight)
        put[number] = value
    found = [number for number in put if _has(kept, number)]
    assert all(kept.find(number) == put[number] for number in found)
    assert {BEFORE, *([0] if len(put) > 1 else [])} <= {*found}
    if weighed + 5 <= 20:
        assert found == [*put]


def test_a_value_put_twice_counts_once() -> None:
    kept: Kept[str] = Kept(10)
    for value in "abc":
        kept.put(0, value, 6)
    kept.put(1, "d", 4)
    assert (kept.find(0), kept.find(1)) == ("c", "d")


def test_all_that_fits_is_kept_and_then_every_second() -> None:
    kept: Kept[int] = Kept(12)
    for number in (BEFORE, 0, 1):
        kept.put(number, number, 4)
    kept.put(1, 1, 4)
    assert [_has(kept, number) for number in (BEFORE, 0, 1)] == [True, True, True]
    kept.put(2, 2, 4)
    assert [_has(kept, number) for number in (BEFORE, 0, 1, 2)] == [True, True, False, True]
    assert [number for number in range(BEFORE, 5) if kept.wants(number)] == [BEFORE, 0, 2, 4]
    with pytest.raises(KeyError, match="1"):
        kept.find(1)


def test_no_more_is_let_go_than_must_be_and_of_nothing_nothing_is_kept() -> None:
    kept: Kept[int] = Kept(12)
    assert not _has(kept, BEFORE)
    for number, weight in zip(range(BEFORE, 4), (2, 2, 2, 2, 8), strict=True):
        kept.put(number, number, weight)
    assert [_has(kept, number) for number in range(BEFORE, 4)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    heavy: Kept[int] = Kept(12)
    for number in (BEFORE, 0, 1):
        heavy.put(number, number, 5)
    assert [_has(heavy, number) for number in (BEFORE, 0, 1)] == [True, True, False]


def test_what_holds_itself_or_has_a_field_that_was_never_set_has_a_weight() -> None:
    @attrs.define
    class Link:
        following: object = None

    loop = Link()
    loop.following = loop
    assert weight_of(loop) == 4
    assert weight_of(object.__new__(Link)) == 2


def test_a_state_weighs_about_as_much_as_its_fork_copies() -> None:
    @attrs.define
    class Inner:
        rows: list[int]

    @attrs.define
    class State:
        name: str
        inner: Inner
        seen: set[int]

    assert weight_of(State("x", Inner([1, 2, 3]), {1})) == 1 + 1 + (1 + 4) + 2
    assert weight_of("a long text") == 1


def test_what_was_so_from_the_beginning_was_so_first_then() -> None:
    series = Series("n", 1, [(2.0, 3), (5.0, 1)])
    assert series.first(lambda value: value == 1) == 0.0
    assert series.first(lambda value: value == 3) == 2.0
    assert series.seconds(lambda value: value == 1, until=9.0) == 6.0


@pytest.mark.parametrize(
    ("path", "asked", "is_there"),
    [
        ("digest/condense", "digest/condense", True),
        ("digest/condense#2", "digest/condense", True),
        ("digest/condense#2/inner[3]", "digest/condense/inner", True),
        ("digest/condense[17]", "digest/condense[17]", True),
        ("digest/condense[17]/x", "digest/condense[17]", True),
        ("digest/condense[1]", "digest/condense[17]", False),
        ("digest/condense#2@3", "digest/condense#2", True),
        ("digest/condense", "digest/condense#2", False),
        ("digest/condenser", "digest/condense", False),
        ("digest", "digest/condense", False),
    ],
)
def test_a_path_without_numbers_means_all_of_them(
    path: str, asked: str, *, is_there: bool
) -> None:
    assert matches(path, asked) is is_there


def test_sequences_part_where_one_ends_or_says_something_else() -> None:
    assert parting("abc", "abc") is None
    assert parting("abc", "abd") == 2
    assert parting("abc", "ab") == 2


def test_a_run_that_reported_nothing_more_has_ended_there() -> None:
    event = Progress(run_id="r", seq=0, path="f/s", timestamp=2.0, fraction=0.5, text="half")
    one, two = (
        Account(
            events=events,
            instants=instants((2.0, 3)),
            choices=({}, ()),
            state=None,
            end="ended",
            time=2.0,
        )
        for events in ((), (event,))
    )
    diff = compared(one, two, lambda: ([], []))
    assert diff.first == (None, event)
    assert str(diff).splitlines()[1:] == [
        "  1 (had ended)",
        "  2 2 s f/s: progress fraction='0.5' text='half'",
    ]
