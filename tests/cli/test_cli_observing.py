"""``agentflow run --log --metrics-port --alerts --trace --report``: all of it at once, however the run ends, or nothing at all."""

from __future__ import annotations

import functools
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import pytest
import trio
from otlp_kit import receiver

import agentflow_trio
from agentflow_trio import (
    END,
    Bulkhead,
    CircuitBreaker,
    Step,
    Wiring,
    each,
    flow,
    parallel,
    step,
)
from agentflow_trio.cli._lines import Lines, Undrawn
from agentflow_trio.cli._observing import Looks, Observing, guards_of
from agentflow_trio.cli._running import carry_out
from agentflow_trio.ports import Observer

if TYPE_CHECKING:
    from tests.cli.conftest import Project

pytestmark = pytest.mark.otel

HOME = Path(agentflow_trio.__file__).parents[1]

NEWS = """
    from pathlib import Path
    import structlog

    log = structlog.get_logger()
    web = CircuitBreaker("web")

    @define
    class News:
        asked: int = 0
        word: str = ""

    @step(retry=RetryPolicy(max_attempts=3, base_delay=0.001))
    async def fetch(news: News) -> None:
        print("fetching")
        if current_step().attempt < 3:
            raise OSError("gone")
        news.asked = 3

    @step(guards=[web])
    async def read(news: News) -> None:
        log.info("at the door")
        news.word = await current_step().to_thread(Path("door").read_text)

    @flow
    def news() -> Wiring[News]:
        return [fetch.then(read), read.then(END)]
"""

FAILING = """
    @define
    class Nothing:
        pass

    @step
    async def fail(nothing: Nothing) -> None:
        print("working")
        BODY

    @flow
    def failing() -> Wiring[Nothing]:
        return [fail.then(END)]
"""

RULES = """
[[rule]]
name = "gone again"
condition = "increase(fetch.retry_count[60s])"
threshold = 1
op = ">="
action = "page_somebody"
"""


@contextmanager
def started(*tokens: str) -> Iterator[subprocess.Popen[str]]:
    """``agentflow run`` with *tokens*, with pipes; killed if the test fails."""
    environ = {**os.environ, "PYTHONPATH": str(HOME), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "agentflow_trio", "run", *tokens]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, encoding="utf-8"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def records(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if line.startswith("{")]


def read_until(process: subprocess.Popen[str], word: str) -> list[str]:
    """Lines of stderr until one has *word* in it."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if word in line:
            return lines
    pytest.fail(f"the process ended without saying {word!r}:\n{''.join(lines)}")


def test_all_of_it_at_once(project: Project) -> None:
    project.write("news.py", NEWS)
    (project.folder / "rules.toml").write_text(RULES)
    os.mkfifo(project.folder / "door")
    with receiver() as collector:
        options = [
            *("--log", "json", "--metrics-port", "0", "--alerts", "rules.toml"),
            *("--trace", collector.url, "--report", "report.html", "--events", "events.jsonl"),
        ]
        with started("news.py", *options, "--json") as process:
            lines = read_until(process, "alert_fired")
            (url,) = [
                record["event"].removeprefix("metrics: ")
                for record in records(lines)
                if record["event"].startswith("metrics: ")
            ]
            page = httpx.get(url).text
            (project.folder / "door").write_text("open")
            out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["state"] == {"asked": 3, "word": "open"}
    # metrics, while it ran: counts of what had ended, gauges of the engine and of the flow's guards
    assert (
        'agentflow_node_executions_total{flow="news",node="fetch",outcome="success"} 1.0\n'
        in page
    )
    assert "agentflow_engine_runs 1.0\n" in page
    assert 'agentflow_circuit_state{guard="web",state="closed"} 1.0\n' in page
    # the log, with what nodes log
    told = records([*lines, *err.splitlines()])
    kinds = [record["event"] for record in told]
    assert kinds[2] == "run_start"
    assert kinds[-1] == "run_end"
    assert kinds.count("attempt_failed") == kinds.count("retry_scheduled") == 2
    (fired,) = [record for record in told if record["event"] == "alert_fired"]
    assert (fired["alert"], fired["value"], fired["level"]) == ("gone again", 2, "warning")
    (said,) = [record for record in told if record["event"] == "at the door"]
    assert said["path"] == "news/read"
    # traces
    run = told[2]["run_id"]
    assert collector.parents["step fetch"] == "run news"
    assert collector.parents["step read"] == "run news"
    # files
    assert "fetch" in (project.folder / "report.html").read_text(encoding="utf-8")
    events = (project.folder / "events.jsonl").read_text().splitlines()
    assert {json.loads(line)["run_id"] for line in events} == {run, ""}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_ended_by_a_signal_is_told_of_to_its_end(
    project: Project, number: int, code: int
) -> None:
    project.write("failing.py", FAILING.replace("BODY", "await trio.sleep_forever()"))
    with receiver() as collector:
        options = ("--metrics-port", "0", "--trace", collector.url, "--report", "report.html")
        with started("failing.py", *options, "--log", "console", "--grace", "0") as process:
            read_until(process, "working")
            process.send_signal(number)
            out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert "run_end" in err
    assert collector.parents == {"step fail": "run failing", "run failing": None}
    assert "cancelled" in (project.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("body", "code", "word"),
    [
        ("raise SystemExit(3)", 1, "cancelled"),
        ("raise OSError('gone')", 1, "OSError"),
        ("await trio.sleep_forever()", 124, "timeout of the run"),
    ],
)
def test_a_run_that_fails_is_told_of_to_its_end(
    project: Project, body: str, code: int, word: str
) -> None:
    project.write("failing.py", FAILING.replace("BODY", body))
    with receiver() as collector:
        options = ("--metrics-port", "0", "--trace", collector.url, "--report", "report.html")
        answer = project.run("run", "failing.py", *options, "--timeout", "0.5")
    assert answer.code == code
    assert answer.err.splitlines()[0].startswith("metrics: http://127.0.0.1:")
    assert collector.parents == {"step fail": "run failing", "run failing": None}
    assert word in (project.folder / "report.html").read_text(encoding="utf-8")


def test_spans_that_nobody_takes_are_told_and_cost_nothing_but_that(project: Project) -> None:
    project.write("quick.py", QUICK)
    with receiver(status=400) as collector:
        answer = project.run("run", "quick.py", "--trace", collector.url)
    assert (answer.code, answer.out) == (0, "Seen(word='x')\n")
    assert f"2 spans could not be sent to {collector.url}/v1/traces" in answer.err


def test_who_will_not_wait_for_the_last_traces_presses_ctrl_c(project: Project) -> None:
    """The run has come to its end: that is what the answer and the exit code say."""
    project.write("quick.py", QUICK)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with started("quick.py", "--trace", url) as process:
            asking, _ = silent.accept()  # the run is over, its spans are on their way
            with asking:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate()
    assert (process.returncode, out) == (0, "Seen(word='x')\n")
    assert "Traceback" not in err


QUICK = """
    @define
    class Seen:
        word: str = ""

    @step
    async def look(seen: Seen) -> None:
        print("looking")
        seen.word = "x"

    @flow
    def quick() -> Wiring[Seen]:
        return [look.then(END)]
"""


def test_a_log_takes_the_place_of_progress(project: Project) -> None:
    project.write("quick.py", QUICK)
    answer = project.run("run", "quick.py", "--log", "json")
    assert answer.out == "Seen(word='x')\n"
    lines = answer.err.splitlines()
    told = [line for line in lines if line.startswith("{")]
    assert [line for line in lines if line not in told] == ["looking"]
    events = [record["event"] for record in records(told)]
    assert events == ["run_start", "node_success", "run_end"]
    answer = project.run("run", "quick.py", "--log", "console")
    assert "node_success" in answer.err
    assert "quick/look started" not in answer.err


ALERTED = """
    @define
    class Seen:
        word: str = "x"

    @step
    async def fail(seen: Seen) -> None:
        raise ValueError

    @flow
    def bad() -> Wiring[Seen]:
        return [fail.then(END)]

    def page(event: object) -> None:
        print("paged:", event.alert, event.value)

    async def later(event: object) -> None: ...
"""


def rule(name: str, action: str) -> str:
    """A rule that fires when the run has failed."""
    return (
        f'[[rule]]\nname = "{name}"\ncondition = "bad.error_count"\n'
        f'threshold = 0\naction = "{action}"\n'
    )


def test_the_action_of_a_rule_is_the_function_of_that_name_beside_the_flow(
    project: Project,
) -> None:
    """And although the run ends at once, there is a look at how it did."""
    project.write("bad.py", ALERTED)
    (project.folder / "rules.toml").write_text(rule("a", "page") + rule("b", "log"))
    answer = project.run("run", "bad.py", "--alerts", "rules.toml", "--json")
    assert "paged: a 1.0\n" in answer.err
    assert [
        (told["event_type"], told["alert"], told["value"], told["threshold"])
        for told in answer.data["alerts"]
    ] == [("alert_fired", "a", 1.0, 0), ("alert_fired", "b", 1.0, 0)]
    assert "run_id" not in answer.data["alerts"][0]
    assert "action" not in answer.err


def test_an_action_that_is_not_there_is_said_and_the_alert_told_all_the_same(
    project: Project,
) -> None:
    project.write("bad.py", ALERTED)
    (project.folder / "rules.toml").write_text(rule("a", "pag") + rule("b", "later"))
    answer = project.run("run", "bad.py", "--alerts", "rules.toml")
    said = [line for line in answer.err.splitlines() if line.startswith("action ")]
    plain = "--alerts is to be a plain function"
    assert said == [
        f"action 'pag' of {plain}; none is beside the flow; did you mean 'page'?; its alerts are told",
        f"action 'later' of {plain}; that is none; its alerts are told",
    ]
    assert answer.err.count("alert a fired") == answer.err.count("alert b fired") == 1
    assert "paged" not in answer.err


def test_a_report_takes_the_place_of_the_last_one(project: Project) -> None:
    project.write("quick.py", QUICK)
    report = project.folder / "report.html"
    report.write_text("x" * 1_000_000)
    assert project.run("run", "quick.py", "--report", "report.html").code == 0
    page = report.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.endswith("</html>\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_a_report_that_finds_no_room_is_told(project: Project) -> None:
    project.write("quick.py", QUICK)
    (project.folder / "report.html").symlink_to("/dev/full")
    answer = project.run("run", "quick.py", "--report", "report.html")
    assert (answer.code, answer.out) == (0, "Seen(word='x')\n")
    assert "warning: report.html is not complete: " in answer.err


# ---------------------------------------------------------------- what cannot be had


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refused(project: Project, *options: str) -> str:
    """What is said of *options*; nothing may have been run, and nothing be left behind."""
    project.write("quick.py", QUICK)
    answer = project.run("run", "quick.py", *options)
    assert (answer.code, answer.out) == (2, "")
    assert "looking" not in answer.err
    as_data = project.run("run", "quick.py", *options, "--json")
    assert as_data.code == 2
    assert as_data.data["error"]["type"] == "UsageError"
    return answer.err


def test_a_port_in_use_is_refused(project: Project, taken: int) -> None:
    assert refused(project, "--metrics-port", str(taken)) == (
        f"error: metrics cannot be served at port {taken}: Address already in use\n"
        "0 takes any port that is free.\n"
    )


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port_is_refused(project: Project, port: str) -> None:
    assert "--metrics-port" in refused(project, f"--metrics-port={port}")


def test_rules_that_cannot_be_read_are_refused(project: Project) -> None:
    said = refused(project, "--alerts", "rules.toml")
    assert said.startswith("error: --alerts rules.toml:\n")
    assert "it cannot be read: No such file or directory" in said


def test_every_mistake_in_rules_is_listed(project: Project) -> None:
    wrong = RULES.replace("increase(fetch", "incraese(fetch").replace("threshold = 1", "")
    (project.folder / "rules.toml").write_text(wrong)
    said = refused(project, "--alerts", "rules.toml")
    assert "condition" in said
    assert "threshold" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("option", ["--report", "--events"])
def test_a_file_that_cannot_be_written_is_refused(project: Project, option: str) -> None:
    said = refused(project, option, "nowhere/out")
    assert said == "error: nowhere/out cannot be written: No such file or directory\n"


def test_a_collector_that_cannot_be_is_refused_without_its_password(project: Project) -> None:
    said = refused(project, "--trace", "ftp://ada:hunter22@host")
    assert said.startswith("error: --trace: the URL of the collector cannot be used: ")
    assert "hunter22" not in said


def test_traces_without_their_extra_are_refused_with_what_to_install(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*sys.modules]:
        if name.startswith(("agentflow_trio.observe.otel", "opentelemetry")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    said = refused(project, "--trace", "http://localhost:4318")
    assert said == ('error: --trace needs an extra; run  pip install "agentflow_trio[otel]"\n')


def test_what_is_refused_leaves_files_as_they_were(project: Project, taken: int) -> None:
    report = project.folder / "report.html"
    report.write_text("the last one")
    for name in ("report.html", "another.html"):
        refused(project, "--report", name, "--metrics-port", str(taken))
    assert report.read_text() == "the last one"
    assert not (project.folder / "another.html").exists()


class Interrupted(Undrawn):
    """A view that Ctrl-C hits when it is asked for something: before a run begins there is no handler."""

    def __init__(self, *, at_once: bool) -> None:
        self.at_once = at_once

    @property
    def observer(self) -> Lines:
        if self.at_once:
            raise KeyboardInterrupt
        return Lines(io.StringIO())

    def say(self, text: str) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("at_once", [True, False])
def test_ctrl_c_before_the_run_begins_is_what_it_is(at_once: bool) -> None:
    view = Interrupted(at_once=at_once)
    with Observing(Looks(metrics_port=0)) as observing:
        run = functools.partial(carry_out, inner, Page(), view, observing=observing)
        with pytest.raises(KeyboardInterrupt):
            trio.run(run)


def test_ctrl_c_while_the_last_is_delivered_takes_nothing_from_a_run_that_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def impatient(*_: object) -> AsyncGenerator[Sequence[Observer]]:
        yield ()
        await trio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    monkeypatch.setattr(Observing, "observers", impatient)
    view = Lines(io.StringIO())
    outcome = trio.run(functools.partial(carry_out, inner, Page(), view))
    assert outcome.code == 0
    assert outcome.result is not None


# ---------------------------------------------------------------- guards of a flow


@attrs.define
class Page:
    pass


class Look:
    async def prep(self, shared: Page) -> Sequence[int]:
        return []

    async def exec(self, item: int) -> int:
        return item

    async def post(self, shared: Page, items: Sequence[int], seen: Sequence[int]) -> None: ...


class Silent:
    """A guard that shows nothing."""

    name = "silent"

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


web, disk, line = CircuitBreaker("web"), Bulkhead("disk", limit=2), Bulkhead("line", limit=1)


@step(guards=[web, Silent()])
async def fetch(page: Page) -> None: ...


@step(guards=[disk])
async def save(page: Page) -> None: ...


@flow
def inner() -> Wiring[Page]:
    return [save.then(END)]


def test_the_guards_of_a_flow_are_found_wherever_steps_stand_in_it_and_once() -> None:
    looks = Step(each(Look(), concurrent=2, guards=[line, web]), name="looks")
    both = Step(parallel(Step(inner, name="in"), looks), name="both")

    @flow
    def outer() -> Wiring[Page]:
        return [fetch.then(both), both.then(END)]

    found: list[object] = [*guards_of(outer.plan)]
    assert found == [web, disk, line]
