"""Where moments are on a picture: to scale, with long stretches broken and instants as wide as there is room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs
import pytest

from agentflow_trio.testing._picture_layout_core import (
    few,
    most_at_once,
    narrow_on,
    profile,
    rows_of,
    wide_enough,
)
from agentflow_trio.testing._time_scale_core import Instant, Scale, _round_step, spoken
from agentflow_trio.testing._timeline_picture_core import Bar, Lane, Mark, add_bar, add_mark


def scale(*times: float, steps: int = 0, width: float = 1000.0, endless: bool = False) -> Scale:
    instants = [Instant(time, number * steps, steps) for number, time in enumerate(times)]
    return Scale(instants, 100.0, width, endless=endless)


def words(made: Scale) -> Sequence[str]:
    return [tick.words for tick in made.ticks()]


def test_time_is_to_scale() -> None:
    made = scale(0, 1, 4, 10)
    assert [made.x((time, 0)) for time in (0, 1, 2.5, 4, 10, 11)] == [
        100,
        200,
        350,
        500,
        1100,
        1100,
    ]
    assert made.breaks == []
    assert scale(0, 10, width=777.77).x((11, 0)) == 877.77
    assert words(made) == [
        "0 s",
        "1 s",
        "2 s",
        "3 s",
        "4 s",
        "5 s",
        "6 s",
        "7 s",
        "8 s",
        "9 s",
        "10 s",
    ]


def test_what_is_much_longer_than_the_rest_is_broken() -> None:
    made = scale(0, 1, 3, 3603, 3604)
    (only,) = made.breaks
    assert only.seconds == 3600
    assert only.right - only.left == 46
    pixels = (1000 - 46) / 4
    assert made.x((1, 0)) == pytest.approx(100 + pixels, abs=0.01)
    assert made.x((3604, 0)) == pytest.approx(1100)


def test_what_is_much_shorter_than_the_rest_is_not_worth_breaking_all_others() -> None:
    assert scale(0, 1e-9, 1, 2, 3, 4).breaks == []


def stretches(*lengths: float) -> Scale:
    times = [0.0]
    for length in lengths:
        times.append(times[-1] + length)
    return scale(*times)


def test_a_stretch_is_broken_if_it_is_four_times_as_long_and_others_can_be_seen_by_it() -> None:
    (only,) = stretches(*314 * [0.25], 1, 4).breaks
    assert only.seconds == 4
    assert stretches(*315 * [0.25], 1, 4).breaks == []
    assert stretches(*314 * [1 / 16], 255 / 1024, 127 / 128).breaks == []


def test_nothing_is_broken_for_no_gain() -> None:
    """Five broken ones cost two, and two are seen that were not."""
    assert stretches(1, 1, *5 * [1000]).breaks == []
    assert len(stretches(1, 1, 1, *5 * [1000]).breaks) == 5


def test_no_more_than_twelve_stretches_are_broken() -> None:
    times = [0.0]
    for number in range(26):
        times.append(times[-1] + (1 if number % 2 else 3600))
    assert scale(*times).breaks == []
    assert len(scale(*times[:25]).breaks) == 12


def test_an_instant_is_as_wide_as_its_steps_where_there_is_room() -> None:
    made = scale(0, 10, steps=5)
    assert made.wide == [(100, 160), (1040, 1100)]
    assert [made.x((0, step)) for step in (0, 1, 5, 9)] == [100, 112, 160, 160]
    assert [made.x((10, step)) for step in (5, 7, 10)] == [1040, 1064, 1100]
    assert made.x((5, 5)) == 600


def test_steps_are_narrower_where_there_are_many_but_not_too_narrow_to_be_told_apart() -> None:
    assert scale(0, 10, steps=25).wide == [(100, 275), (925, 1100)]
    assert scale(0, 1, 2, 3, 4, steps=7, width=600).wide[0] == (100, 142)
    assert scale(0, 1, 2, 3, 4, steps=7, width=599).wide == []


def test_places_are_told_to_a_hundredth_of_a_pixel() -> None:
    made = scale(0, 3, 7, 10, width=777.7777)
    assert [made.x((time, 0)) for time in (1, 3, 9, 12)] == [177.78, 333.33, 800, 877.78]
    assert {tick.x for tick in made.ticks()} >= {255.56, 877.78}


def test_a_run_within_one_instant_has_all_the_room() -> None:
    assert scale(7, steps=20).x((7, 10)) == 600
    assert scale(7, steps=2).wide == [(100, 360)]
    assert scale(7, steps=1, width=200).wide == [(100, 230)]
    assert words(scale(7, steps=2)) == ["7 s"]


def test_where_there_is_no_room_only_instants_that_matter_have_a_width() -> None:
    instants = [Instant(0, 0, 500), Instant(5, 500, 10, shown=True), Instant(9, 510, 500)]
    made = Scale(instants, 0.0, 1000.0)
    assert [right - left for left, right in made.wide] == [120]
    many = [Instant(0, 0, 500), Instant(5, 500, 100, shown=True), Instant(9, 600, 500)]
    assert [right - left for left, right in Scale(many, 0.0, 1000.0).wide] == [350]
    one = [Instant(0, 0, 10), Instant(5, 10, 1, shown=True)]
    assert [right - left for left, right in Scale(one, 0.0, 60.0).wide] == [12]


def test_what_lasts_for_ever_has_a_share_of_its_own() -> None:
    made = scale(0, 1, endless=True)
    assert made.x((1, 0)) == 820
    assert (made.right, made.end) == (1100, 1100)
    (only,) = made.breaks
    assert (only.left, only.right, only.seconds) == (1054, 1100, math.inf)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (0.004, "0.0005 s"),
        (0.5, "0.05 s"),
        (7.0, "1 s"),
        (60.0, "10 s"),
        (100.0, "10 s"),
        (900.0, "2 min"),
        (20_000.0, "30 min"),
        (4 * 86_400.0, "12 h"),
        (40 * 86_400.0, "5 d"),
    ],
)
def test_labels_are_round_numbers(end: float, said: str) -> None:
    assert words(scale(0, end))[:2] == ["0 s", said]
    assert said in words(scale(0, end / 300, end))
    assert words(scale(0, 500, 7700))[:3] == ["0 s", "15 min", "30 min"]


def test_between_round_numbers_only_instants_that_have_a_width_are_labelled() -> None:
    assert "4.5 s" not in words(scale(0, 4.5, 9))
    assert "4.5 s" in words(scale(0, 4.5, 9, steps=1))


@pytest.mark.parametrize(
    ("least", "step"),
    [
        (0.001, 0.001), (0.11, 0.2), (0.21, 0.5), (0.51, 1), (1, 1), (1.5, 2), (2, 2), (50_000, 86_400),
        (86_400, 86_400), (90_000, 172_800), (200_000, 432_000), (900_000, 1_728_000),
    ],
)  # fmt: skip
def test_steps_between_labels_are_round(least: float, step: float) -> None:
    assert _round_step(least) == pytest.approx(step)


def test_labels_stand_side_by_side_where_they_just_fit() -> None:
    assert words(scale(0, 1, width=40)) == ["0 s", "1 s"]
    assert words(scale(0, 1, width=39.9)) == ["0 s"]
    assert words(scale(0, 59.75, width=45)) == ["0 s", "59.75 s"]
    assert words(scale(0, 59.75, width=44.9)) == ["0 s"]


def test_labels_do_not_touch() -> None:
    made = scale(*range(100), steps=1)
    ticks = made.ticks()
    for one, two in pairwise(ticks):
        assert two.x - one.x >= 40


def test_what_follows_a_break_is_labelled_first_wherever_on_the_page_it_is() -> None:
    times = (0.0, 1.0, 1.1, 501.4, 1001.7, 1502.0)
    instants = [Instant(time, number * 4, 4) for number, time in enumerate(times)]
    made = Scale(instants, 133.3, 777.0)
    assert len(made.breaks) == 3
    assert words(made) == ["0 s", "1 s", "1.1 s", "8 min 21.4 s", "25 min 2 s"]


def test_of_two_times_that_read_the_same_the_later_says_by_how_much() -> None:
    assert words(scale(0, 259_200.0, 259_200.001, steps=1)) == ["0 s", "3 d", "+0.001 s"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.12345, "0.1235 s"),
        (59.5, "59.5 s"),
        (60, "1 min"),
        (119.996, "2 min"),
        (90.25, "1 min 30.25 s"),
        (3600, "1 h"),
        (45_930, "12 h 46 min"),
        (90_000, "1 d 1 h"),
        (90_060, "1 d 1 h"),
        (math.inf, "for ever"),
    ],
)
def test_times_are_spoken(seconds: float, said: str) -> None:
    assert spoken(seconds) == said


# ---------------------------------------------------------------- what is drawn together


def bar(begin: float, end: float, kind: str = "sleep", depth: int = 0) -> Bar:
    return Bar((begin, 0), (end, 0), kind, kind, depth=depth)


def test_what_is_within_a_grain_is_one() -> None:
    bars: list[Bar] = []
    for each in (bar(0, 1), bar(1, 2), bar(2, 3, "work"), bar(3, 20), bar(20, 21, depth=1)):
        add_bar(bars, each, 10.0)
    assert [(each.kind, each.begin[0], each.end[0], each.count) for each in bars] == [
        ("busy", 0, 3, 3),
        ("sleep", 3, 20, 1),
        ("sleep", 20, 21, 1),
    ]
    visits: list[Bar] = []
    add_bar(visits, bar(0, 1, "success"), 10.0)
    add_bar(visits, bar(1, 2, "cancelled"), 10.0)
    assert [each.kind for each in visits] == ["error"]


def test_a_grain_is_as_long_at_any_time_and_what_fills_it_is_drawn() -> None:
    late: list[Bar] = []
    marks: list[Mark] = []
    for time in (100, 101, 110):
        add_bar(late, bar(time, time + 1), 10.0)
        add_mark(marks, Mark((time, 3), "retry", ""), 10.0)
    assert [(each.kind, each.begin[0], each.count) for each in late] == [
        ("sleep", 100, 2),
        ("sleep", 110, 1),
    ]
    assert [(mark.spot[0], mark.count) for mark in marks] == [(100, 2), (110, 1)]
    full: list[Bar] = []
    add_bar(full, bar(0, 5), 10.0)
    add_bar(full, bar(5, 10), 10.0)
    assert len(full) == 2


def test_marks_of_one_kind_within_a_grain_are_one() -> None:
    marks: list[Mark] = []
    for time, kind in ((0, "retry"), (1, "failed"), (2, "retry"), (12, "retry")):
        add_mark(marks, Mark((time, 0), "retry" if kind == "retry" else "failed", kind), 10.0)
    assert [(mark.kind, mark.spot[0], mark.count) for mark in marks] == [
        ("retry", 0, 2),
        ("failed", 1, 1),
        ("retry", 12, 1),
    ]


def test_what_is_too_narrow_is_drawn_with_its_neighbours() -> None:
    made = scale(0, 1000)  # a pixel a second
    bars = [
        bar(0, 1, "work"),
        bar(1, 2),
        bar(2, 3, "work"),
        bar(3, 4),
        bar(4, 50),
        bar(50, 50, "work"),
        bar(50, 90),
    ]
    assert [
        (each.kind, left, right, each.count)
        for each, left, right in wide_enough(bars, made, 3.0)
    ] == [
        ("busy", 100, 104, 4),
        ("sleep", 104, 150, 1),
        ("work", 150, 150, 1),
        ("sleep", 150, 190, 1),
    ]
    alike = [bar(time, time + 1) for time in range(8)]
    assert [each.count for each, _, _ in wide_enough(alike, made, 3.0)] == [5, 3]
    failed = [bar(0, 1, "success"), bar(1, 2, "error"), bar(2, 3, "success")]
    assert [each.kind for each, _, _ in wide_enough(failed, made, 3.0)] == ["error"]


def test_what_is_drawn_together_says_what_it_is() -> None:
    made = scale(0, 1000)

    def drawn(*bars: Bar) -> Sequence[tuple[Bar, float, float]]:
        return [*wide_enough(bars, made, 3.0)]

    alike = [Bar((n, n), (n + 1, n), "sleep", f"nap {n}", depth=2) for n in range(3)]
    assert drawn(*alike) == [(Bar((0, 0), (3, 2), "sleep", "nap 0", 3, 2), 100, 103)]
    mixed = [alike[0], attrs.evolve(alike[1], kind="wait"), alike[2]]
    words = "3 things too short to draw"
    assert drawn(*mixed) == [(Bar((0, 0), (3, 2), "busy", words, 3, 2), 100, 103)]
    assert drawn(alike[1]) == [(alike[1], 101, 102)]
    assert [each.count for each, _, _ in drawn(*alike[:2])] == [2]
    inner = attrs.evolve(alike[1], depth=3)
    assert [each.depth for each, _, _ in drawn(alike[0], inner)] == [2]
    between = drawn(bar(0, 1), bar(1, 4), bar(4, 5))
    assert [(left, right) for _, left, right in between] == [(100, 101), (101, 104), (104, 105)]
    just = drawn(bar(0, 1), bar(1, 4))
    assert [each.count for each, _, _ in just] == [1, 1]
    assert drawn(bar(0, 3), bar(3, 6)) == [(bar(0, 3), 100, 103), (bar(3, 6), 103, 106)]


def test_visits_of_each_depth_have_a_row_above_what_the_task_does() -> None:
    def lane(*depths: int) -> Lane:
        visits = [bar(0, 9, "success", depth) for depth in depths]
        return Lane("task", None, (0, 0), (9, 0), visits=visits)

    alone, nested, deep = rows_of([lane(), lane(0, 1, 0), lane(*range(9))])
    assert (alone.number, alone.top, alone.doing, alone.middle) == (0, 88, 93, 101)
    assert alone.bottom == nested.top == 114
    assert [nested.visits(depth) for depth in (0, 1)] == [119, 139]
    assert (nested.doing, nested.bottom) == (159, deep.top)
    assert (deep.number, deep.depth, deep.doing - deep.visits(0)) == (2, 3, 60)


def test_of_a_moments_work_between_two_waits_the_work_is_drawn() -> None:
    around = [bar(0, 1), bar(1, 2, "work"), bar(2, 3)]
    assert [*wide_enough(around, scale(0, 1000), 3.0)] == [(around[1], 101, 102)]


def test_of_too_many_marks_those_in_a_row_are_one() -> None:
    marks = [Mark((float(n), 0.0), "retry", "") for n in range(401)]
    assert [len(few(marks[:199])), len(few(marks))] == [199, 134]
    assert sum(mark.count for mark in few(marks)) == 401


def test_how_many_there_are_at_once() -> None:
    changes = [(0.0, 1), (1.0, 1), (5.0, -1), (5.0, 1), (6.2, -1), (6.4, -1)]
    assert most_at_once(changes) == 2
    assert profile(changes) == [(0, 1), (1, 2), (5, 2), (6, 0)]


def test_where_there_is_much_more_is_drawn_together() -> None:
    made = scale(0, 1000)
    lanes = [Lane(str(n), None, (0, 0), (1000, 0)) for n in range(11)]
    for lane in lanes:
        lane.doing.extend(bar(4.0 * n, 4.0 * n + 4, "wait") for n in range(250))
    assert narrow_on(made, lanes[:10]) == 3.0
    assert narrow_on(made, lanes) == 6.0
