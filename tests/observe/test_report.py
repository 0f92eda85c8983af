"""The report of runs as a page: its numbers are those of the events, and nothing in it is anything but a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser

import attrs
import pytest
from typing_extensions import override

from agentflow_trio import Bulkhead, BulkheadPolicy, Step, parallel
from agentflow_trio._markup import joined, tag
from agentflow_trio.events import (
    CacheHit,
    CallTimedOut,
    ExecutionEvent,
    FallbackUsed,
    FaultInjected,
    HedgeStarted,
    HedgeWon,
    LoadEnded,
    LoopBlocked,
    NodeFailed,
    NodeSucceeded,
    RunEnded,
    WaitEnded,
)
from agentflow_trio.observe import Profile, report_html
from agentflow_trio.observe._report_style import STYLE

from .profile_kit import (
    begun,
    ended,
    every_shape,
    failing,
    recorded,
    row,
    taking,
    tolerant,
    visited,
)

Element = tuple[str, Mapping[str, str]]


class Page(HTMLParser):
    """What a page consists of: elements with their attributes, texts, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.open.append(tag)

    @override
    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def having(self, attribute: str) -> list[Mapping[str, str]]:
        return [found for _, found in self.elements if attribute in found]

    def named(self, name: str) -> list[Mapping[str, str]]:
        return [found for tag, found in self.elements if tag == name]

    @property
    def sums(self) -> dict[str, str]:
        tiles = (one for one in self.having("id") if one["id"].startswith("sum-"))
        return {one["id"].removeprefix("sum-"): one["data-value"] for one in tiles}


SHAPES = Profile.of(recorded(every_shape()))
PAGE = Page(report_html(SHAPES))


def test_the_numbers_of_a_page_are_those_of_the_profile() -> None:
    assert PAGE.open == []
    assert PAGE.sums == {
        "outcome": "success",
        "duration": "34.0",
        "steps": "17",
        "failures": "3",
        "retries": "4",
        "rejections": "0",
    }
    rows = PAGE.having("data-visits")
    assert [
        (one["data-place"], int(one["data-visits"]), float(one["data-total"]), float(one["data-self"]))
        for one in rows
    ] == [(one.place, one.visits, one.total, one.own) for one in SHAPES.places]  # fmt: skip
    shares = PAGE.having("data-share")
    assert [
        (one["data-place"], one.get("data-reason"), float(one["data-seconds"]))
        for one in shares
    ] == [(one.place, one.reason, one.seconds) for one in SHAPES.shares()]
    assert [one["data-path"] for one in PAGE.having("data-error")] == [
        one.path for one in SHAPES.failures
    ]
    assert [one["data-guard"] for one in PAGE.having("data-guard")] == [
        one.guard for one in SHAPES.guards
    ]


def test_a_bar_says_from_when_to_when_and_how_much_of_it_is_critical() -> None:
    bars = {(one["data-path"], one["data-start"]): one for one in PAGE.having("data-count")}
    a = bars["shapes/both/a", "16.0"]
    assert (a["data-end"], a["data-outcome"], a["data-critical"]) == ("18.0", "success", "2.0")
    assert "data-critical" not in bars["shapes/both/b", "16.0"]
    assert bars["shapes/items[1]", "7.0"]["data-critical"] == "2.0"
    assert bars["shapes/items[1]", "10.0"]["data-critical"] == "2.0"
    critical = sum(float(one.get("data-critical", "0")) for one in bars.values())
    assert critical == 34.0


def test_a_pointer_on_a_bar_is_told_what_happened() -> None:
    assert "shapes/fails: 1 s; error; ValueError: fails, time 1; caught by rescue" in PAGE.texts
    assert "shapes/both/a: 2 s; success; waited for guard 'db'" in PAGE.texts
    assert "shapes/loop: 0.5 s; success, exit again" in PAGE.texts
    assert "shapes/flaky: 6 s; success; 3 attempts; waited for a retry" in PAGE.texts


def test_whoever_cannot_see_is_told_as_well() -> None:
    """Headings in order, tables with captions and scopes, a picture with a title and a description."""
    headings = [name for name, _ in PAGE.elements if re.fullmatch("h[1-6]", name)]
    assert headings == ["h1", "h2", "h2", "h2", "h2", "h2"]
    assert len(PAGE.named("table")) == len(PAGE.named("caption")) == 4
    assert all(one["scope"] in {"col", "row"} for one in PAGE.named("th"))
    (picture,) = [one for one in PAGE.named("svg") if one.get("role") == "img"]
    ids = [one["id"] for one in PAGE.having("id")]
    assert set(picture["aria-labelledby"].split()) <= set(ids)
    assert len(ids) == len(set(ids))
    assert all(
        one.get("aria-hidden") == "true" for one in PAGE.named("svg") if one is not picture
    )
    assert PAGE.named("html") == [{"lang": "en"}]


def test_what_did_not_end_well_has_a_pattern_and_a_word_besides_its_colour() -> None:
    classes = [one["class"] for one in PAGE.having("class")]
    for name in ("waiting", "pausing", "failing", "cut-off", "failed-attempt", "critical"):
        assert classes.count(name) > 1, "in the picture, and in the legend"
    assert "tortoise" in PAGE.texts, "where there is no space for more"
    tolerated = recorded(row("f", tolerant(1.0, 50.0, bad=(1,))))
    assert "[1]: failed" in Page(report_html(tolerated)).texts


def test_a_page_needs_nothing_and_fetches_nothing() -> None:
    text = report_html(SHAPES)
    assert "<script" not in text
    assert not re.search(r"https?:|//|@import|\bon\w+=", text.replace("http-equiv", ""))
    assert set(re.findall(r"url\((.*?)\)", text)) <= {
        "#waiting",
        "#pausing",
        "#failing",
        "#cut-off",
    }
    (policy,) = [one for one in PAGE.named("meta") if "http-equiv" in one]
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert [one["href"] for one in PAGE.having("href")] == ["data:,"]


EVIL = "</title><script>alert(1)</script>\x00\ud800\"'<!--&amp;"


def test_no_text_becomes_markup() -> None:
    """Neither a path nor an error nor a guard's name nor an exit."""
    path = f"f/{EVIL.replace('/', '')}"
    events: list[ExecutionEvent] = [
        begun(run_id=EVIL),
        visited(path, run_id=EVIL, at=0.0, seq=1),
        WaitEnded(
            run_id=EVIL,
            seq=2,
            path=path,
            timestamp=1.0,
            guard=EVIL,
            outcome="admitted",
            waited=1.0,
        ),
        NodeFailed(
            run_id=EVIL,
            seq=3,
            path=path,
            timestamp=1.0,
            phase="exec",
            attempt=1,
            error=EVIL,
            message=EVIL,
        ),
        RunEnded(
            run_id=EVIL,
            seq=4,
            path="f",
            timestamp=1.0,
            flow="f",
            outcome="error",
            exit=EVIL,
            steps=1,
            error=EVIL,
        ),
    ]
    text = report_html(events, title=EVIL)
    page = Page(text)
    assert page.open == []
    assert page.named("script") == []
    assert [name for name, _ in page.elements].count("title") >= 1
    assert "\x00" not in text
    text.encode("utf-8")
    shown = EVIL.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert page.texts.count(shown) >= 4
    assert [one["data-guard"] for one in page.having("data-guard")] == [shown]


def test_the_same_profile_gives_the_same_page() -> None:
    assert report_html(SHAPES) == report_html(recorded(every_shape()))


# ---------------------------------------------------------------- contrast


def colours(scheme: str) -> dict[str, str]:
    """The colours of a scheme, by name."""
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))


LIGHT, DARK, PAPER = map(colours, re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL))


def luminance(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, contrast ratio."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK, PAPER], ids=["light", "dark", "paper"])
def test_texts_and_lines_can_be_told_from_what_is_behind_them(scheme: dict[str, str]) -> None:
    assert scheme.keys() == LIGHT.keys()
    grounds = ["visit", "around", "item", "crowd", "error", "cancelled", "wait", "card", "page"]
    for ground in grounds:
        assert contrast(scheme["text"], scheme[ground]) >= 4.5, ground
        assert contrast(scheme["quiet"], scheme[ground]) >= 4.5 or ground == "crowd", ground
    assert ".crowd ~ text > .took { fill: var(--text) }" in STYLE
    for text in ("quiet", "good", "bad", "cut"):
        for ground in ("card", "page"):
            assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
    for ground in ("visit", "around", "item", "error", "cancelled", "wait"):
        assert contrast(scheme[f"{ground}-line"], scheme["card"]) >= 3.0, ground
    for ground in ("visit", "around", "item", "error", "card"):
        assert contrast(scheme["critical"], scheme[ground]) >= 3.0, ground


# ---------------------------------------------------------------- any runs


def test_tens_of_thousands_of_items_fit_in_a_page_below_a_megabyte() -> None:
    events: list[ExecutionEvent] = [begun(), visited("f/a", at=0.0, seq=1)]
    for number in range(20_000):
        # as they are told: each ten of them together, some of them bad
        second = number // 10 + 1.0
        events.append(
            NodeFailed(
                run_id="r",
                seq=number + 2,
                path=f"f/a[{number}]",
                timestamp=second,
                duration_ms=1000.0,
                phase="exec",
                attempt=1,
                error="OSError",
                message="x" * 500,
            )
            if number % 20 == 0
            else NodeSucceeded(
                run_id="r",
                seq=number + 2,
                path=f"f/a[{number}]",
                timestamp=second,
                duration_ms=1000.0,
                exit=None,
            )
        )
    text = report_html(events)
    assert len(text.encode()) < 1_000_000
    page = Page(text)
    assert [one["data-count"] for one in page.having("data-count")] == ["1", "1", "20000"]
    assert "20,000 items: 1,000 failed" in page.texts
    assert "800 more rows not shown." in page.texts
    assert "f/a[*]: 2000 s; 1,000 error; 19,000 success" in page.texts


def test_many_waits_and_attempts_are_drawn_as_those_that_can_be_told_apart() -> None:
    waits: list[ExecutionEvent] = [
        WaitEnded(
            run_id="r",
            seq=number + 2,
            path="f/a",
            timestamp=number + 0.5,
            guard="g",
            outcome="admitted",
            waited=0.25,
        )
        for number in range(1000)
    ]
    page = Page(report_html([begun(), visited("f/a", at=0.0, seq=1), *waits]))
    drawn = [one for one in page.having("class") if one["class"] == "waiting" and "y" in one]
    (visit,) = [one for one in page.having("x") if one.get("class") == "body visit unfinished"]
    share = sum(float(one["width"]) for one in drawn[40:-1]) / float(visit["width"])
    assert len(drawn) == 81, "in the bar and on the critical path, with that of the legend"
    assert share == pytest.approx(0.25, rel=0.01)


def test_what_is_not_drawn_is_said_and_what_took_no_time_is_drawn_all_the_same() -> None:
    """Ten times the same path in no time, and deeper than there is room."""
    loop: list[ExecutionEvent] = []
    for number in range(300):
        path = f"f/a#{number + 2}"
        loop += [
            visited(path, at=0.0, seq=len(loop) + 1),
            visited(f"{path}/b", at=0.0, seq=len(loop) + 2),
            NodeSucceeded(
                run_id="r", seq=len(loop) + 3, path=f"{path}/b", timestamp=0.0, exit=None
            ),
            NodeSucceeded(run_id="r", seq=len(loop) + 4, path=path, timestamp=0.0, exit=None),
        ]
    page = Page(report_html([begun(), *loop, ended(at=1.0, seq=len(loop) + 1)]))
    assert "f/a: 0 s; 300 success; and 300 inside that are not drawn" in page.texts
    assert page.having("data-count")[-1]["data-count"] == "300"


def test_several_runs_are_listed_and_the_slowest_drawn() -> None:
    flows = [row("f", taking(1.0, "a")), row("f", taking(2.0, "a")), row("f", failing(9, "b"))]
    page = Page(report_html(recorded(*flows)))
    assert page.sums == {
        "runs": "3",
        "succeeded": "2",
        "failed": "1",
        "duration": "2.0",
        "steps": "3",
        "failures": "1",
        "retries": "0",
        "rejections": "0",
    }
    assert [one["data-duration"] for one in page.having("data-duration")] == [
        "2.0",
        "1.0",
        "1.0",
    ]
    assert "f: 3 runs" in page.texts
    assert "Timeline of the slowest run" in page.texts
    assert (
        "2 flows: 2 runs"
        in Page(report_html(recorded(flows[0], row("g", *[taking(1.0, "a")])))).texts
    )


def test_a_killed_and_incomplete_run_says_so() -> None:
    page = Page(report_html([begun(), visited("f/a", at=1.0, seq=4)]))
    assert page.sums["outcome"] == "unfinished"
    assert "3 events of these runs are missing: the figures are too low." in page.texts
    assert any(
        text.startswith("1 run had not ended when the events stop") for text in page.texts
    )
    assert "f: unfinished" in page.texts


def test_timeouts_a_blocked_loop_and_an_exit_are_said_if_there_are_any() -> None:
    limit = CallTimedOut(run_id="r", seq=1, path="f", timestamp=1.0, guard="g", seconds=1.0)
    blocked = LoopBlocked(
        run_id="r", seq=2, path="f", timestamp=1.0, seconds=0.5, task="t", stack=()
    )
    end = attrs.evolve(ended(at=1.0, seq=3), exit="done")
    page = Page(report_html([begun(), limit, blocked, end]))
    assert (page.sums["timeouts"], page.sums["blocked"]) == ("1", "0.5")
    assert (
        "f, run r, by exit done, begun 1970-01-01 00:00:00 UTC, seed 0; 4 events" in page.texts
    )


def test_nothing_at_all_is_a_page_too() -> None:
    page = Page(report_html([]))
    assert "The events tell of no run." in page.texts
    assert "No runs" in page.texts


# ---------------------------------------------------------------- what is read first


def test_who_opens_the_page_of_a_failed_run_is_told_first_what_failed_and_why() -> None:
    branches = [failing(9, name) for name in ("b1", "b2", "b3", "b4")]
    text = report_html(
        recorded(row("f", taking(2.0, "a"), Step(parallel(*branches), name="all")))
    )
    page = Page(text)
    where = [
        text.index(mark)
        for mark in ('class="sums"', 'class="brief"', 'id="failures"', 'id="timeline"')
    ]
    assert where == sorted(where)
    assert "What failed" in page.texts
    assert len({one for one in page.texts if re.fullmatch("b[0-9]", one)}) == 4
    assert [one for one in page.texts if one.startswith(", after")] == [", after 3.000 s"] * 3
    assert ": b1, time 1" in page.texts
    assert "and 1 more" in page.texts
    assert "failures-heading" in text


def test_a_failure_that_was_handled_is_no_reason_to_look_there_first() -> None:
    text = report_html(SHAPES)
    assert "What failed" not in text
    assert text.index('id="timeline"') < text.index('id="failures"')


def test_who_opens_the_page_of_a_run_that_was_ended_is_told_what_it_was_about() -> None:
    lock = Bulkhead("lock", BulkheadPolicy(limit=1))
    branches = [taking(9.0, name).with_(guards=(lock,)) for name in ("b1", "b2")]
    events = recorded(row("f", Step(parallel(*branches), name="both")), at=4.0)
    page = Page(report_html(events))
    assert "What was cut off" in page.texts
    assert [one for one in page.texts if one.startswith(", after")] == [
        ", after 4.000 s",
        ", after 4.000 s, waiting for guard 'lock'",
    ]
    killed = Page(report_html(events[:-5]))
    assert "What had not ended" in killed.texts


def test_what_took_the_time_and_what_was_waited_for_are_said_with_the_larger_one_first() -> (
    None
):
    def events(waited: float) -> list[ExecutionEvent]:
        wait = WaitEnded(
            run_id="r",
            seq=2,
            path="f/a",
            timestamp=waited,
            guard="g",
            outcome="admitted",
            waited=waited,
        )
        return [begun(), visited("f/a", at=0.0, seq=1), wait, ended(at=10.0, seq=3)]

    mostly, little, hardly = (
        Page(report_html(events(many))).texts for many in (8.0, 2.0, 0.05)
    )
    assert mostly.index("What it waited for") < mostly.index("What took the time")
    assert "guard 'g': 8.000 s, 80.0% of the critical path, at " in mostly
    assert little.index("What it waited for") > little.index("What took the time")
    assert ": 8.000 s, 80.0% of the critical path" in little
    assert "What it waited for" not in hardly
    assert "What took the time" not in Page(report_html(events(10.0))).texts


def test_where_no_place_stands_out_that_is_said() -> None:
    page = Page(report_html(recorded(row("f", *(taking(1.0, f"s{at}") for at in range(20))))))
    assert ": 1.000 s, 5.0% of the critical path; of 20 shares the largest" in page.texts


def test_of_several_runs_a_failure_says_of_which() -> None:
    page = Page(report_html(recorded(row("f", taking(2.0, "a")), row("f", failing(9, "b")))))
    assert ", after 1.000 s of run sim-1-2" in page.texts


def test_columns_that_say_nothing_are_left_out() -> None:
    heads = [
        [
            text
            for text in Page(report_html(recorded(each))).texts
            if text in {"waits for", "waits", "retries", "opened"}
        ]
        for each in (row("f", taking(1.0, "a")), every_shape())
    ]
    assert heads == [
        ["retries"],
        ["retries", "waits for", "waits", "waits for", "waits", "retries"],
    ]


def test_hedges_fallbacks_caches_and_chaos_are_counted_and_told() -> None:
    kinds: list[ExecutionEvent] = [
        HedgeStarted(
            run_id="r", seq=2, path="f/a", timestamp=1.0, guard="h", attempt=2, reason="delay"
        ),
        HedgeWon(
            run_id="r",
            seq=3,
            path="f/a",
            timestamp=3.0,
            duration_ms=3000.0,
            guard="h",
            attempt=2,
            attempts=2,
        ),
        FallbackUsed(
            run_id="r", seq=4, path="f/a", timestamp=3.0, guard="fb", error="E", message=""
        ),
        CacheHit(run_id="r", seq=5, path="f/a", timestamp=3.0, guard="c", source="stored"),
        LoadEnded(
            run_id="r", seq=6, path="f/a", timestamp=3.0, guard="c", outcome="loaded", callers=1
        ),
        FaultInjected(
            run_id="r",
            seq=7,
            path="f/a",
            timestamp=3.0,
            guard="m",
            fault="error",
            delay=0.0,
            error="E",
        ),
    ]
    made = Profile.of([begun(), visited("f/a", at=0.0, seq=1), *kinds, ended(at=4.0, seq=8)])
    used = {
        one.guard: (one.hedges, one.won_late, one.fallbacks, one.hits, one.loads, one.injected)
        for one in made.guards
    }
    assert used == {
        "h": (1, 1, 0, 0, 0, 0),
        "fb": (0, 0, 1, 0, 0, 0),
        "c": (0, 0, 0, 1, 1, 0),
        "m": (0, 0, 0, 0, 0, 1),
    }
    page = Page(report_html(made))
    told = {
        name: page.sums[name]
        for name in ("hedges", "fallbacks", "cache-hits", "faults-injected")
    }
    assert set(told.values()) == {"1"}
    assert "chaos 'm' 1" in page.texts
    bars = {one["data-path"]: one["data-outcome"] for one in page.having("data-count")}
    assert bars["f/a, try 1"] == "cancelled"
    assert bars["f/a, try 2"] == "success"
    assert "try 2: first to end" in page.texts


def test_the_critical_path_is_drawn_as_one_strip_that_names_its_steps() -> None:
    steps = [taking(0.001, "tiny"), taking(40.0, "long"), taking(4.0, "short")]
    page = Page(report_html(recorded(row("f", *steps))))
    strip = [one for one in page.texts if one.startswith("critical path: f")]
    assert strip == ["critical path: f/long, 40 s", "critical path: f/short, 4 s"]
    assert "long 40 s" in page.texts
    inner = Page(report_html(recorded(row("f", Step(row("g", *steps[1:]), name="g")))))
    assert "critical path: f/g/long, 40 s" in inner.texts
    nothing = Page(report_html([begun(), ended(at=0.0, seq=1)]))
    assert not [one for one in nothing.texts if one.startswith("critical path: f")]


def test_a_title_may_be_given() -> None:
    assert Page(report_html(SHAPES, title="Nightly")).texts.count("Nightly") == 2


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.7, 1.0, 9.99, 34.0, 86400.0])
def test_the_axis_has_a_handful_of_round_numbers(seconds: float) -> None:
    text = report_html([begun(), ended(at=seconds, seq=1)])
    ticks = [float(one) for one in re.findall(r'class="tick">([\d.e-]+) m?s<', text)]
    assert f"{'s' if seconds >= 1.0 else 'ms'}<" in text
    seconds *= 1.0 if seconds >= 1.0 else 1000.0
    assert ticks[0] == 0.0
    assert len(ticks) == len(set(ticks)) <= 12
    assert ticks[-1] <= seconds
    if seconds:
        assert len(ticks) >= 5
        assert ticks[-1] > seconds * 0.8


def test_labels_are_in_their_bar_or_beside_it_or_shortened_or_left_out() -> None:
    names = ["a_name_of_some_length", "b", "c_a_name_that_is_long_as_well_and_more", "d"]
    lengths = [1.0, 40.0, 4.0, 0.01]
    steps = [taking(length, name) for name, length in zip(names, lengths, strict=True)]
    page = Page(report_html(recorded(row("f", *steps, taking(50.0, "rest")))))
    assert "b" in page.texts
    assert " 40 s" in page.texts
    assert "c_a_\N{HORIZONTAL ELLIPSIS}" in page.texts
    assert page.texts.count(names[0]) == 2, "in two tables"
    last = Page(report_html(recorded(row("f", taking(80.0, "b"), taking(1.0, "last_of_all")))))
    assert last.texts.count("last_of_all") == 2


def test_markup_is_escaped_unless_it_is_markup() -> None:
    inner = tag("b", "<&>", title='"')
    assert inner == '<b title="&quot;">&lt;&amp;&gt;</b>'
    assert tag("p", inner, "<", class_="x", data_path=1.5, hidden=None) == (
        f'<p class="x" data-path="1.5">{inner}&lt;</p>'
    )
    assert tag("rect", x=1) == '<rect x="1"/>'
    assert joined() == ""
