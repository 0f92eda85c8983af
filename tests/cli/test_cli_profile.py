"""``agentflow profile``: where the time of runs went, from the files that ``agentflow run --events`` writes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from agentflow_trio.observe import write_event

from .conftest import Project
from .profiled_events import FINISHED, KILLED

# as long as the run took, with only the first place
TABLE = """\
news, run r, success (done), 4.000 s
2 steps, 1 failure, 0 retries, 0 rejections

place       visits  total   self  waits  attempts  failed    p50    p95  waits for
news/write       1  3.000  3.000  0.000         1       0  3.000  3.000
times in s; 2 more places not shown

critical path of run r, 4.000 s
place       share      s  times
news/write  75.0%  3.000      1

what failed
news/fetch, after 1.000 s, not handled
    OSError: gone
"""


@pytest.fixture
def events(project: Project) -> Path:
    """The events of a run, in a file."""
    path = project.folder / "run.jsonl"
    path.write_text("".join(f"{write_event(event)}\n" for event in FINISHED))
    return path


def test_the_answer_is_a_table(project: Project, events: Path) -> None:
    answer = project.run("profile", "run.jsonl", "--top", "1")
    assert (answer.code, answer.out, answer.err) == (0, TABLE, "")
    assert "news/fetch" in project.run("profile", "run.jsonl").out


def test_it_is_as_wide_as_the_terminal(
    project: Project, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    narrow = project.run("profile", "run.jsonl").out
    monkeypatch.setenv("COLUMNS", "10")
    assert project.run("profile", "run.jsonl").out != ""
    assert max(map(len, narrow.splitlines())) <= 75


def test_standard_input_is_read(
    project: Project, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(events.read_text()))
    assert project.run("profile", "-", "--top", "1").out == TABLE


def test_a_terminal_is_told_how_far_the_reading_is(
    project: Project, events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentflow_trio.cli.profiling._LINES", 2)
    assert project.run("profile", str(events), "--top", "1").err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said = project.run("profile", str(events), "--top", "1").err
    assert said.startswith(f"\r{events}: 2 events read\r{events}: 4 events read")
    assert said.endswith("\r\x1b[K")
    monkeypatch.setattr("agentflow_trio.cli.profiling._LINES", 1000)
    assert project.run("profile", str(events), "--top", "1").err == ""


def test_the_events_of_a_real_run_are_read(project: Project) -> None:
    project.write(
        "news.py",
        """
        @define
        class News:
            topic: str = "trio"

        @step
        async def write(news: News) -> None:
            await trio.sleep(0)

        @flow
        def news() -> Wiring[News]:
            return [write.then(END)]
        """,
    )
    assert project.run("run", "news.py", "--events", "run.jsonl").code == 0
    data = project.run("profile", "run.jsonl", "--json").data
    assert [(one["place"], one["visits"]) for one in data["places"]] in (
        [("news/write", 1), ("news", 1)],
        [("news", 1), ("news/write", 1)],
    )


def test_json_has_everything(project: Project, events: Path) -> None:
    data = project.run("profile", "run.jsonl", "--json", "--top", "1").data
    assert list(data) == ["runs", "counts", "places", "critical", "guards", "failures"]
    assert data["runs"] == [
        {
            "run_id": "r",
            "flow": "news",
            "outcome": "success",
            "exit": "done",
            "error": None,
            "start": 0.0,
            "duration": 4.0,
            "missing": 0,
            "wall_time": 0.0,
            "seed": 0,
        }
    ]
    assert data["counts"]["steps"] == 2
    assert [one["place"] for one in data["places"]] == ["news/write"]
    assert data["critical"] == [
        {"place": "news/write", "reason": None, "seconds": 3.0, "share": 0.75, "times": 1}
    ]
    assert data["guards"] == []
    assert [one["path"] for one in data["failures"]] == ["news/fetch"]


def test_a_page_is_written_beside_the_answer(project: Project, events: Path) -> None:
    answer = project.run("profile", "run.jsonl", "--html", "run.html", "--top", "1")
    assert (answer.code, answer.out, answer.err) == (0, TABLE, "")
    page = (project.folder / "run.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>\n")
    assert 'data-place="news/write"' in page


def test_the_file_of_a_killed_process_is_profiled_as_far_as_it_goes(project: Project) -> None:
    text = "".join(f"{write_event(event)}\n" for event in KILLED)
    (project.folder / "run.jsonl").write_text(f"{text}{text[:30]}")
    answer = project.run("profile", "run.jsonl")
    assert answer.code == 0
    assert answer.err == (
        "warning: run.jsonl, line 4, the last one, was cut off and is left out\n"
    )
    assert answer.out.startswith("news, run r, unfinished, 1.000 s\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "error: run.jsonl cannot be read: No such file or directory\n"),
        (b"\xff\n", "error: run.jsonl is not in UTF-8: invalid start byte\n"),
        (
            b"",
            (
                "error: run.jsonl has no events of a run\n"
                "Make some with: agentflow run TARGET --events FILE\n"
            ),
        ),
        (
            b"{}\n",
            (
                "error: run.jsonl, line 1, field 'event_type': is missing\n"
                "To do: give a file that `agentflow run --events` or `write_event` has written.\n"
            ),
        ),
        (
            b"[]\n",
            (
                "error: run.jsonl, line 1: it is not a JSON object\n"
                "To do: give a file that `agentflow run --events` or `write_event` has written.\n"
            ),
        ),
    ],
)
def test_what_is_no_file_of_events_is_a_usage_error(
    project: Project, content: bytes | None, said: str
) -> None:
    if content is not None:
        (project.folder / "run.jsonl").write_bytes(content)
    answer = project.run("profile", "run.jsonl", "--html", "run.html")
    assert (answer.code, answer.out, answer.err) == (2, "", said)
    assert not (project.folder / "run.html").exists()
    assert project.run("profile", "run.jsonl", "--json").data["error"]["type"] == "UsageError"


def test_a_page_that_cannot_be_written_is_a_usage_error(project: Project, events: Path) -> None:
    answer = project.run("profile", "run.jsonl", "--html", "nowhere/run.html")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "error: nowhere/run.html cannot be written: No such file or directory\n"
    )


def test_fewer_places_than_one_are_a_usage_error(project: Project, events: Path) -> None:
    assert project.run("profile", "run.jsonl", "--top", "0").code == 2
