"""A real browser opens the report of a real run: its numbers are those of the events, in light and in dark."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import attrs
import pytest
import trio
from chromium import DARK, look_at
from profile_page import profile_of_page
from typing_extensions import override

from agentflow_trio import END, Engine, Step, Wiring, each, flow, step
from agentflow_trio.events import ExecutionEvent, NodeStarted, RunEnded
from agentflow_trio.observe import report_html

pytestmark = pytest.mark.real


class Dom(HTMLParser):
    """The attributes of the elements that a browser made of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Mapping[str, str]] = []
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append({name: value or "" for name, value in attrs})

    def having(self, name: str) -> list[Mapping[str, str]]:
        return [each_ for each_ in self.found if name in each_]

    def sum(self, name: str) -> str:
        (tile,) = (one for one in self.having("id") if one["id"] == f"sum-{name}")
        return tile["data-value"]


@attrs.define
class Notes:
    """The state."""

    done: int = 0


class Sleepers:
    """Forty items that sleep a little."""

    async def prep(self, shared: Notes, /) -> Sequence[int]:
        return range(40)

    async def exec(self, item: int, /) -> int:
        await trio.sleep(0.001)
        return item

    async def post(self, shared: Notes, items: object, results: Sequence[int], /) -> None:
        shared.done = len(results)


@step
async def bad(notes: Notes) -> None:
    raise ValueError("</title><script>document.title = 'taken over'</script>")


@step
async def rescue(notes: Notes) -> None:
    await trio.sleep(0.001)


@flow
def real() -> Wiring[Notes]:
    items = Step(each(Sleepers(), concurrent=8), name="items")
    return [
        items.then(bad),
        bad.then(END).catch(ValueError, to=rescue),
        rescue.then(END),
    ]


class Recorder:
    """Keeps every event."""

    name = "recorder"

    def __init__(self) -> None:
        self.events: list[ExecutionEvent] = []

    def observe(self, event: ExecutionEvent) -> None:
        self.events.append(event)


async def test_the_numbers_that_a_browser_shows_are_those_of_a_real_runs_events(
    tmp_path: Path,
) -> None:
    recorder = Recorder()
    async with Engine(observers=[recorder]) as engine:
        await engine.run(real, Notes())
    page = tmp_path / "report.html"
    page.write_text(report_html(recorder.events), encoding="utf-8")
    text, said = await trio.to_thread.run_sync(look_at, page, "--dump-dom")
    dom = Dom(text)
    (end,) = (event for event in recorder.events if isinstance(event, RunEnded))
    visits = [event for event in recorder.events if isinstance(event, NodeStarted)]
    assert end.duration_ms is not None
    assert float(dom.sum("duration")) == pytest.approx(end.duration_ms / 1000.0, abs=1e-9)
    assert dom.sum("outcome") == end.outcome == "success"
    assert int(dom.sum("steps")) == end.steps == len(visits) == 3
    rows = {one["data-place"]: one for one in dom.having("data-visits")}
    assert {place: int(row["data-visits"]) for place, row in rows.items()} == {
        "real": 1,
        "real/items": 1,
        "real/items[*]": 40,
        "real/bad": 1,
        "real/rescue": 1,
    }
    assert rows["real/bad"]["data-failed"] == dom.sum("failures") == "1"
    critical = sum(float(one["data-seconds"]) for one in dom.having("data-share"))
    assert critical == pytest.approx(float(dom.sum("duration")), abs=1e-9)
    assert "taken over</title>" not in text
    assert "CONSOLE" not in said


def test_the_page_is_drawn_in_light_and_in_dark(tmp_path: Path) -> None:
    """The corner of the page, which is empty, has the colour of the scheme."""
    page = tmp_path / "report.html"
    page.write_text(report_html(profile_of_page()), encoding="utf-8")
    for scheme, colour in (((), (0xF6, 0xF7, 0xF9)), ((DARK,), (0x12, 0x16, 0x1C))):
        picture = tmp_path / "report.png"
        _, said = look_at(page, "--window-size=64,64", f"--screenshot={picture}", *scheme)
        assert first_pixel(picture.read_bytes()) == colour
        assert "CONSOLE" not in said


def first_pixel(png: bytes) -> tuple[int, ...]:
    """The colour of the upper left corner; the first pixel is the same under every filter of PNG."""
    data, at = b"", 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + size]
        at += size + 12
    return tuple(zlib.decompress(data)[1:4])
