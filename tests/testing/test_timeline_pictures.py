"""`Timeline.to_svg` shows what a run did: every number here is read from the picture."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import attrs
import pytest
import trio
from newsdesk import Desk, newsdesk
from trio.lowlevel import checkpoint

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
    RateLimiter,
    RejectedError,
    Retry,
    RetryPolicy,
    Step,
    Timeout,
    WindowPolicy,
    Wiring,
    flow,
    parallel,
    step,
)
from agentflow_trio.events import NodeSucceeded
from agentflow_trio.testing import (
    Faults,
    Program,
    Timeline,
    _sketching,
    always,
    explore,
    record,
)
from agentflow_trio.testing._sketch_page import Page
from agentflow_trio.testing._sketching import Noting
from agentflow_trio.testing._timeline_picture_core import Lane
from agentflow_trio.testing._world import Ended

SVG: Final = "{http://www.w3.org/2000/svg}"


@attrs.frozen
class Picture:
    """An SVG, read back."""

    text: str

    @property
    def root(self) -> ET.Element:
        return ET.fromstring(self.text)  # noqa: S314 - we made it

    def all(self, kind: str, within: ET.Element | None = None) -> list[ET.Element]:
        root = self.root if within is None else within
        return [each for each in root.iter() if each.get("class") == kind]

    def lane(self, name: str) -> ET.Element:
        (found,) = [lane for lane in self.all("lane") if lane.get("data-name") == name]
        return found

    def doing(self, name: str) -> list[tuple[str, str, float, float]]:
        """What a task did, without its steps: kind, words, from, to."""
        return [
            (kind, bar.get("data-words", ""), number(bar, "begin"), number(bar, "end"))
            for bar in self.all("doing", self.lane(name))
            if (kind := bar.get("data-kind", "")) not in {"work", "ready"}
        ]

    def steps(self, name: str) -> list[str]:
        bars = self.all("doing", self.lane(name))
        return [bar.get("data-words", "") for bar in bars if bar.get("data-kind") == "work"]

    def marks(self, name: str) -> list[tuple[str, float]]:
        marks = self.all("mark", self.lane(name))
        return [(mark.get("data-kind", ""), number(mark, "time")) for mark in marks]

    def words(self) -> list[str]:
        return [each.text or "" for each in self.root.iter(f"{SVG}text")]

    def titles(self) -> list[str]:
        return [each.text or "" for each in self.root.iter(f"{SVG}title")]


def number(element: ET.Element, name: str) -> float:
    return float(element.get(f"data-{name}", "nan"))


def picture(timeline: Timeline[Any], *, width: int = 1100, lanes: int = 40) -> Picture:
    return Picture(timeline.to_svg(width=width, lanes=lanes))


async def two_deposits() -> None:
    account = {"balance": 0}

    async def ann() -> None:
        balance = account["balance"]
        await checkpoint()
        account["balance"] = balance + 100

    async def bob() -> None:
        await checkpoint()
        await checkpoint()
        balance = account["balance"]
        await checkpoint()
        account["balance"] = balance + 50

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ann)
        nursery.start_soon(bob)
    assert account["balance"] == 150, f"{account['balance']} is left"


async def transfers() -> None:
    left, right = trio.Lock(), trio.Lock()

    async def transfer(first: trio.Lock, second: trio.Lock) -> None:
        await trio.sleep(1)
        async with first:
            await trio.sleep(0.5)
            async with second:
                pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transfer, left, right, name="rent")
        nursery.start_soon(transfer, right, left, name="wages")


async def outage() -> None:
    """One client, of a service that is down from 5 s to 30 s."""
    db = CircuitBreaker("db", CircuitPolicy(failure_threshold=2, recovery_timeout=10.0))
    retry = Retry(RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0), name="again")

    async def query() -> None:
        async with db:
            if 5 <= trio.current_time() < 30:
                raise ConnectionError

    while trio.current_time() < 40:
        with contextlib.suppress(ConnectionError, CircuitOpenError):
            await retry.call(query)
        await trio.sleep(4)


@attrs.define
class Topic:
    notes: str = ""


@step
async def web(topic: Topic) -> None:
    await trio.sleep(2)


@step
async def papers(topic: Topic) -> None:
    await trio.sleep(3)
    raise OSError("closed")


@step
async def archive(topic: Topic) -> None:
    await trio.sleep(8)


@step
async def apologise(topic: Topic) -> None:
    await trio.sleep(1)


research = Step(parallel(web, papers, archive), name="research")


@flow
def essay() -> Wiring[Topic]:
    return [
        research.then(END).catch(OSError, to=apologise),
        apologise.then(END),
    ]


# ---------------------------------------------------------------- tasks and their waits


def test_a_lane_says_when_a_task_began_what_it_waited_for_and_when_it_ended() -> None:
    async def program() -> None:
        ready = trio.Event()
        send, receive = trio.open_memory_channel[int](0)

        async def worker() -> None:
            await ready.wait()
            await receive.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker)
            await trio.sleep(2)
            ready.set()
            await trio.sleep(3)
            await send.send(1)

    shown = picture(record(program))
    (title,) = [each for each in shown.words() if each.endswith("program")]
    assert [lane.get("data-name") for lane in shown.all("lane")] == [title, "worker"]
    assert shown.doing("worker") == [
        ("wait", "Event", 0, 2),
        ("wait", "MemoryReceiveChannel", 2, 5),
    ]
    assert shown.doing(title) == [
        ("sleep", "sleep", 0, 2),
        ("sleep", "sleep", 2, 5),
        ("tasks", "its children worker", 5, 5),
    ]
    worker = shown.lane("worker")
    assert (number(worker, "begin"), number(worker, "end")) == (0, 5)
    assert worker.get("data-outcome") == "success"
    assert shown.lane(title).get("data-outcome") == "success"
    assert "worker: began at 0 s, ended at 5 s" in shown.titles()
    assert "waits for Event, 2 s from 0 s" in shown.titles()


def test_where_things_stand_is_to_scale() -> None:
    async def program() -> None:
        for seconds in (1, 2, 4):
            await trio.sleep(seconds)

    shown = picture(record(program))
    bars = [each for each in shown.all("doing") if each.get("data-kind") == "sleep"]
    widths = [float(bar[1].get("width", "0")) for bar in bars]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.02)
    assert widths[2] == pytest.approx(4 * widths[0], abs=0.02)


def test_a_deadlock_lasts_for_ever_and_names_who_holds_what() -> None:
    shown = picture(record(transfers))
    assert shown.doing("rent")[-1] == ("wait", "Lock held by wages", 1.5, 1.5)
    assert shown.doing("wages")[-1] == ("wait", "Lock held by rent", 1.5, 1.5)
    assert [each.get("data-seconds") for each in shown.all("broken")] == ["inf"]
    assert "for ever" in shown.words()
    assert {lane.get("data-outcome") for lane in shown.all("lane")} == {"unfinished"}
    last = shown.all("doing", shown.lane("rent"))[-1][1]
    right = float(last.get("x", "0")) + float(last.get("width", "0"))
    assert right == 1100 - 38
    assert any(
        word.startswith("seed 0, 3 tasks, 1.5 s of virtual time: Deadlock")
        for word in shown.words()
    )


def test_the_choices_of_a_replayed_schedule_are_marked() -> None:
    (failure,) = explore(two_deposits).failures
    shown = picture(record(two_deposits, replay=failure.code))
    marks = shown.all("preemption")
    assert [mark.get("data-number") for mark in marks] == ["1", "2"]
    assert [mark.get("data-words") for mark in marks] == [
        "bob goes on before ann",
        "ann goes on before bob",
    ]
    first, second = (number(mark, "step") for mark in marks)
    assert f"at 0 s, step {first:g}: bob goes on before ann" in shown.words()
    assert second > first
    assert shown.lane("two_deposits").get("data-outcome") == "error"
    assert any(f"schedule {failure.code}, 3 tasks" in word for word in shown.words())
    assert "2. at 0 s" in (shown.root.findtext(f"{SVG}desc") or "")
    assert not picture(record(two_deposits)).all("preemption")


def test_a_step_says_which_lines_it_was() -> None:
    shown = picture(record(two_deposits))
    line = two_deposits.__code__.co_firstlineno
    name = Path(__file__).name
    assert shown.steps("ann") == [
        f"from {name}:{line + 3} to {name}:{line + 5}",
        f"from {name}:{line + 5} to its end",
    ]
    assert f"{line + 3}\N{EN DASH}{line + 5}" in shown.words()


def test_who_failed_and_who_was_cancelled_for_it() -> None:
    async def program() -> None:
        async def fails() -> None:
            await trio.sleep(2)
            raise ValueError("no\nmore")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            nursery.start_soon(trio.sleep, 9, name="sleeper")

    shown = picture(record(program))
    assert shown.lane("fails").get("data-outcome") == "error"
    assert shown.lane("sleeper").get("data-outcome") == "cancelled"
    assert number(shown.lane("sleeper"), "end") == 2
    assert "fails: began at 0 s, failed at 2 s, ValueError: no" in shown.titles()
    assert any(word.endswith("of virtual time: ValueError: no") for word in shown.words())


def test_what_is_cut_off_and_goes_on_is_marked() -> None:
    async def program() -> None:
        with trio.move_on_after(2):
            await trio.sleep(5)
        await trio.sleep(1)

    (lane,) = (shown := picture(record(program))).all("lane")
    assert shown.marks(lane.get("data-name", "")) == [("cancelled", 2)]


def test_a_program_that_is_cancelled() -> None:
    async def program() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            with trio.CancelScope() as scope:
                await trio.sleep(1)
            assert not scope.cancelled_caught
            raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup):
        record(program)


# ---------------------------------------------------------------- guards


def test_a_circuit_is_a_band_and_whom_it_turns_away_is_marked() -> None:
    shown = picture(record(outage))
    (band,) = shown.all("guard")
    assert band.get("data-name") == "db"
    states = [
        (bar.get("data-state"), number(bar, "begin"), number(bar, "end"))
        for bar in shown.all("level-bar", band)
    ]
    assert states == [
        ("closed", 0, 9),
        ("open", 9, 34),
        ("closed", 34, 42),
    ]
    away = [13, 17, 22, 26, 30]
    assert [number(each, "time") for each in shown.all("turned-away", band)] == away
    marks = shown.marks("outage")
    assert [time for kind, time in marks if kind == "rejected"] == away
    assert [time for kind, time in marks if kind == "retry"] == [9, 22]
    desc = shown.root.findtext(f"{SVG}desc") or ""
    assert "Guards turned 5 away." in desc


def test_how_many_wait_for_a_limiter_is_a_band() -> None:
    async def program() -> None:
        llm = RateLimiter("llm", limit=2, window=10.0)

        async def caller() -> None:
            async with llm:
                pass

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(caller)

    shown = picture(record(program))
    (band,) = shown.all("guard")
    levels = [
        (bar.get("data-state"), number(bar, "begin"), number(bar, "end"))
        for bar in shown.all("level-bar", band)
    ]
    assert [level for level in levels if level[1] < level[2]] == [
        ("3 waiting", 0, 10),
        ("1 waiting", 10, 20),
    ]
    waits = [
        (words, begin, end)
        for name in ("caller", *(f"caller#{n}" for n in range(2, 6)))
        for kind, words, begin, end in shown.doing(name)
        if kind == "wait" and begin < end
    ]
    assert sorted(waits)[:2] == [("RateLimiter 'llm'", 0, 10)] * 2
    assert max(waits)[2] == 20


def test_a_flow_shows_its_steps_on_the_lanes_of_their_tasks() -> None:
    shown = picture(record(essay, Topic()))
    visits = {
        bar.get("data-path"): (
            bar.get("data-outcome"),
            number(bar, "begin"),
            number(bar, "end"),
        )
        for bar in shown.all("visit-bar")
    }
    assert visits == {
        "essay/research": ("error", 0, 3),
        "essay/research/web": ("success", 0, 2),
        "essay/research/papers": ("error", 0, 3),
        "essay/research/archive": ("cancelled", 0, 3),
        "essay/apologise": ("success", 3, 4),
    }
    names = [lane.get("data-name") for lane in shown.all("lane")]
    assert sorted(names[1:], key=str) == ["archive", "papers", "web"]
    assert names[0] == "essay"
    assert "papers: OSError: closed" in shown.words()


def test_retries_and_timeouts_of_steps_are_marked_where_they_happen() -> None:
    @step(retry=RetryPolicy(max_attempts=3, base_delay=1.0, jitter=0.0))
    async def ask(topic: Topic) -> None:
        await trio.sleep(1)

    @step(guards=(Timeout(2.0, name="limit"),))
    async def think(topic: Topic) -> None:
        await trio.sleep(5)

    @flow
    def asking() -> Wiring[Topic]:
        return [ask.then(END).catch(OSError, to=think), think.then(END)]

    shown = picture(record(asking, Topic(), faults=Faults(ask=always(OSError))))
    assert shown.marks("asking") == [
        ("failed", 0),
        ("retry", 0),
        ("failed", 1),
        ("retry", 1),
        ("failed", 3),
        ("timeout", 5),
    ]


def test_a_guard_in_a_step_is_marked_once() -> None:
    limiter = RateLimiter("pace", WindowPolicy(limit=1, window=60.0, max_wait=0.0))

    @step(guards=(limiter,))
    async def greet(topic: Topic) -> None:
        pass

    @step(guards=(limiter,))
    async def again(topic: Topic) -> None:
        pass

    @flow
    def greeting() -> Wiring[Topic]:
        return [
            greet.then(again),
            again.then(END).catch(RejectedError, to=apologise),
            apologise.then(END),
        ]

    shown = picture(record(greeting, Topic()))
    assert shown.marks("greeting") == [("rejected", 0)]
    assert len(shown.all("turned-away")) == 1


# ---------------------------------------------------------------- long and large runs


async def night() -> None:
    async def feed() -> None:
        for seconds in (1, 2, 36_000, 3, 36_000, 1):
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed)


def test_hours_of_idling_are_broken_and_the_rest_is_seen() -> None:
    shown = picture(record(night))
    assert [number(each, "seconds") for each in shown.all("broken")] == [36_000, 36_000]
    assert "10 h" in shown.words()
    assert "seed 0, 2 tasks, 20 h of virtual time: ended well" in shown.words()
    bars = [each for each in shown.all("doing") if each.get("data-kind") == "sleep"]
    widths = {
        number(bar, "end") - number(bar, "begin"): float(bar[1].get("width", "0"))
        for bar in bars
    }
    assert widths[3] > widths[2] > widths[1] > 40
    assert 46 <= widths[36_000] < 47


async def crowd() -> None:
    limiter = trio.CapacityLimiter(5)

    async def work(number: int) -> None:
        async with limiter:
            await trio.sleep(1 + number % 7)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(work, number)


def test_tasks_without_a_lane_are_counted() -> None:
    timeline = record(crowd)
    shown = picture(timeline, lanes=10)
    assert len(shown.all("lane")) == 10
    (others,) = shown.all("others")
    assert (others.get("data-count"), others.get("data-most")) == ("91", "91")
    assert any(", 101 tasks, " in word for word in shown.words())
    assert "91 more" in shown.words()
    assert len(picture(timeline, lanes=60).all("lane")) == 60


async def busy() -> None:
    async def ticking(seconds: float) -> None:
        for _ in range(int(500 / seconds)):
            await trio.sleep(seconds)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(ticking, 0.5 + number / 8, name=f"tick {number}")
        nursery.start_soon(outage_loop)


async def outage_loop() -> None:
    limit = RateLimiter("limit", WindowPolicy(limit=1, window=3.0, max_wait=0.0))
    for _ in range(400):
        with contextlib.suppress(RejectedError):
            async with limit:
                pass
        await trio.sleep(1)


def test_a_picture_of_a_long_run_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sketching, "LONG", 2_000)
    timeline = record(busy)
    shown = picture(timeline)
    assert len(shown.text) < 800_000
    assert len(shown.all("doing")) <= 2_500
    (lane,) = [lane for lane in shown.all("lane") if lane.get("data-name") == "tick 0"]
    counted = sum(number(bar, "count") for bar in shown.all("doing", lane))
    assert counted == 2 * 1_000 + 2
    away = shown.all("turned-away")
    assert len(away) <= 200
    assert sum(number(mark, "count") for mark in away) == 266


# ---------------------------------------------------------------- any picture


@pytest.mark.parametrize("program", [two_deposits, transfers, outage, night])
def test_the_same_run_gives_the_same_bytes(program: Program[None]) -> None:
    one, two = (record(program, seed=3).to_svg() for _ in "ab")
    assert one == two


def test_who_holds_a_limiter_is_told_in_the_order_in_which_tasks_were_made() -> None:
    async def crowd() -> None:
        limiter = trio.CapacityLimiter(4)

        async def enter(after: float) -> None:
            await trio.sleep(after)
            async with limiter:
                await trio.sleep(5)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(enter, float(number))

    words = "CapacityLimiter borrowed by enter, enter#2, enter#3, enter#4"
    kept = [[object() for _ in range(1_000 * number)] for number in range(5)]  # other addresses
    assert all(words in record(crowd).to_svg() for _ in kept)


def test_names_keep_their_numbers_and_wide_letters_have_room() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(
                    trio.sleep, 1, name="a name for which there is no room at all"
                )
            nursery.start_soon(trio.sleep, 1, name="\N{CJK UNIFIED IDEOGRAPH-65E5}" * 40)

    drawn = record(main).to_svg()
    assert ">a name for which there is\N{HORIZONTAL ELLIPSIS}<" in drawn
    assert ">a name for which there i\N{HORIZONTAL ELLIPSIS}#2<" in drawn
    day = "\N{CJK UNIFIED IDEOGRAPH-65E5}"
    assert f">{day * 13}\N{HORIZONTAL ELLIPSIS}<" in drawn


def test_the_same_bytes_come_from_another_process(tmp_path: Path) -> None:
    code = "from newsdesk import *; from agentflow_trio.testing import record; print(record(newsdesk, Desk(), seed=3).to_svg(), end='')"
    path = [str(Path(__file__).parents[1] / "support"), *sys.path]
    done = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"],
            env={"PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert done[0] == done[1] == record(newsdesk, Desk(), seed=3).to_svg()


def test_it_is_accessible_and_has_neither_scripts_nor_links() -> None:
    shown = picture(record(newsdesk, Desk(), seed=3))
    root = shown.root
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "aft-title aft-desc"
    assert root.findtext(f"{SVG}title") == "Timeline of newsdesk"
    assert [root[0].get("id"), root[1].get("id")] == ["aft-title", "aft-desc"]
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "desc", "style", "defs", "pattern", "g", "rect", "path", "circle", "text",
    }  # fmt: skip
    assert "@media (prefers-color-scheme:dark)" in shown.text
    assert re.findall(r"url\((?!#)|href|javascript|@import", shown.text) == []


def test_no_text_becomes_markup() -> None:
    async def program() -> None:
        async def fails() -> None:
            raise ValueError("</text><script>alert(1)</script>")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails, name='<b>"&')

    shown = picture(record(program))
    assert "script>" not in shown.text.replace("&lt;/script&gt;", "").replace(
        "&lt;script&gt;", ""
    )
    assert shown.lane('<b>"&').get("data-outcome") == "error"


@pytest.mark.parametrize(("width", "lanes"), [(479, 10), (1100, 0), (1100, 61)])
def test_what_cannot_be_drawn_is_refused_before_anything_runs(width: int, lanes: int) -> None:
    with pytest.raises(ValueError, match=r"width is at least 480|lanes is 1 to 60"):
        record(night).to_svg(width=width, lanes=lanes)


# ---------------------------------------------------------------- at the edges


def test_a_deadlock_in_a_flow_leaves_steps_that_did_not_end() -> None:
    @step
    async def stands(topic: Topic) -> None:
        await trio.Event().wait()

    @flow
    def standing() -> Wiring[Topic]:
        return [stands.then(END)]

    shown = picture(record(standing, Topic()))
    (visit,) = shown.all("visit-bar")
    assert (visit.get("data-path"), visit.get("data-outcome")) == (
        "standing/stands",
        "unfinished",
    )
    assert shown.doing("standing") == [("wait", "Event", 0, 0)]


def test_a_program_that_is_cancelled_from_outside() -> None:
    async def program() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 7)
            scope = trio.lowlevel.current_root_task()
            assert scope is not None
            await trio.sleep(2)
            for inner in scope.child_nurseries:
                for task in inner.child_tasks:
                    for own in task.child_nurseries:
                        own.cancel_scope.cancel()
            await trio.sleep(5)

    shown = picture(record(program))
    (title,) = [each for each in shown.words() if each.endswith("program")]
    assert shown.marks(title) == [("cancelled", 2)]
    assert shown.lane("sleep").get("data-outcome") == "cancelled"


def test_visits_in_visits_are_drawn_three_deep() -> None:
    @step
    async def think(topic: Topic) -> None:
        await trio.sleep(1)

    @flow
    def fourth() -> Wiring[Topic]:
        return [think.then(END)]

    @flow
    def third() -> Wiring[Topic]:
        return [Step(fourth).then(END)]

    @flow
    def second() -> Wiring[Topic]:
        return [Step(third).then(END)]

    @flow
    def outermost() -> Wiring[Topic]:
        return [Step(second).then(END)]

    shown = picture(record(outermost, Topic()))
    assert [visit.get("data-path") for visit in shown.all("visit-bar")] == [
        "outermost/second",
        "outermost/second/third",
        "outermost/second/third/fourth",
    ]


async def many_choices() -> None:
    async def hop() -> None:
        for _ in range(9):
            await checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(hop, name=f"hop {number}")


def test_of_many_choices_twelve_are_told() -> None:
    code = f"os0:{','.join('1' * 15)}"
    shown = picture(record(many_choices, replay=code))
    assert len(shown.all("preemption")) == 12
    assert "and 3 more" in shown.words()


def test_who_was_passed_over_may_have_no_lane() -> None:
    (failure,) = explore(two_deposits).failures
    timeline = record(two_deposits, replay=failure.code)
    shown = picture(timeline, lanes=2)
    assert [mark.get("data-words") for mark in shown.all("preemption")] == [
        "ann goes on before bob"
    ]


def test_a_page_takes_note_of_what_it_saw_begin() -> None:
    page = Page(lambda: 0.0, 0.0)
    page.lanes.append(Lane("one", None, (0.0, 0.0), (0.0, 0.0)))
    page.heard(NodeSucceeded(run_id="r", seq=1, path="a/b", timestamp=0.0, exit=None), 0)
    assert page.lanes[0].visits == []


def test_a_circuit_that_is_set_by_hand() -> None:
    async def program() -> None:
        breaker = CircuitBreaker("db")
        async with breaker:
            pass
        breaker.isolate()
        with contextlib.suppress(RejectedError):
            async with breaker:
                pass
        await trio.sleep(5)

    shown = picture(record(program))
    states = [bar.get("data-state") for bar in shown.all("level-bar")]
    assert states[-1] == "isolated"
    assert "circuit set by hand" in shown.words()


def test_of_a_long_run_bands_are_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sketching, "LONG", 5)

    async def program() -> None:
        pace = RateLimiter("pace", limit=1, window=0.001)

        async def caller() -> None:
            for _ in range(20):
                async with pace:
                    pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            nursery.start_soon(caller)
            nursery.start_soon(caller)
        await trio.sleep(100)

    (band,) = (shown := picture(record(program))).all("guard")
    assert len(shown.all("level-bar", band)) <= 2


def test_how_it_ended_is_said() -> None:
    ended: Ended[object] = Ended(None, 1.0, 2, {}, (), clean=True)
    assert _sketching.outcome_of(ended) == _sketching.told(ended) == "cancelled"


class Latest:
    """Lets as many timers as there are be late."""

    def choose(self, point: int, tasks: Sequence[Hashable], usual: int, /) -> int:
        return 0

    def tie(self, point: int, options: int, /) -> int:
        return options - 1


def test_who_notes_choices_lets_timers_be_late_as_the_chooser_does() -> None:
    assert Noting(Latest()).tie(0, 3) == 2
