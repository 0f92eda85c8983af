"""``agentflow run``: what comes out where, for every way a run can end."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentflow_trio.cli import main

if TYPE_CHECKING:
    from tests.cli.conftest import Project

NEWS = """
    @define
    class Article:
        topic: str
        draft: str = ""
        rounds: int = 0

    @step
    async def write(article: Article) -> None:
        print("a word from the node")
        article.draft = f"all about {article.topic}"

    @step
    async def review(article: Article, *, approved: Next, rejected: Next) -> Next:
        article.rounds += 1
        return approved if article.rounds == 2 else rejected

    @flow
    def news(*, published: Next) -> Wiring[Article]:
        return [write.then(review), review.to(approved=published, rejected=write)]
"""
FAILING = """
    @define
    class Nothing:
        pass

    @step
    async def explode(nothing: Nothing) -> None:
        raise ValueError("[red]boom[/red]")

    @flow
    def failing() -> Wiring[Nothing]:
        return [explode.then(END)]
"""


def test_the_final_state_goes_to_stdout_and_nothing_else_does(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py:news", "--set", "topic=trio")
    assert answer.code == 0
    assert answer.out == "Article(topic='trio', draft='all about trio', rounds=2)\n"
    assert answer.err.count("a word from the node\n") == 2


def test_without_a_terminal_progress_is_a_line_for_each_visit_that_begins_or_ends(
    project: Project,
) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news:news", "--set", "topic=trio", "--seed", "7")
    lines = [re.sub(r"\d+\.\d{3}", "T", line) for line in answer.err.splitlines()]
    lines = [re.sub("run [-0-9a-f]{36}", "run ID", line) for line in lines]
    assert [line.strip() for line in lines if line != "a word from the node"] == [
        "T  news started, run ID, seed 7",
        "T  news/write started",
        "T  news/write done after T s",
        "T  news/review started",
        "T  news/review done, exit rejected after T s",
        "T  news/write#2 started",
        "T  news/write#2 done after T s",
        "T  news/review#2 started",
        "T  news/review#2 done, exit approved after T s",
        "T  news ended: success, exit published after T s, 4 steps",
    ]


def test_json_is_one_object_with_everything_about_the_run(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py", "--set", "topic=trio", "--json")
    assert answer.code == 0
    duration = answer.data["duration"]
    assert 0 <= duration < 60
    assert answer.data == {
        "run_id": answer.data["run_id"],
        "exit": "published",
        "state": {"topic": "trio", "draft": "all about trio", "rounds": 2},
        "duration": duration,
        "steps": 4,
        "visits": {"news/write": 2, "news/review": 2},
    }
    assert f"run {answer.data['run_id']}" in answer.err


def test_a_failure_is_reported_with_its_place_and_the_code_1(project: Project) -> None:
    project.write("failing.py", FAILING)
    answer = project.run("run", "failing.py")
    assert (answer.code, answer.out) == (1, "")
    assert (
        "error: flow 'failing' failed: 1 failure\n  exec of failing/explode, after "
        in answer.err
    )
    assert "\n    ValueError: [red]boom[/red]\n" in answer.err


def test_a_failure_as_json_has_every_leaf_with_its_place(project: Project) -> None:
    project.write("failing.py", FAILING)
    answer = project.run("run", "failing.py", "--json")
    assert answer.code == 1
    data = answer.data
    assert list(data) == ["run_id", "error"]
    (leaf,) = data["error"].pop("failures")
    assert data["error"] == {"type": "FlowFailedError", "message": "flow 'failing' failed"}
    assert 0 <= leaf.pop("elapsed") < 60
    assert leaf == {
        "type": "ValueError",
        "message": "[red]boom[/red]",
        "path": "failing/explode",
        "phase": "exec",
        "attempt": 1,
    }


SLOW = """
    @define
    class Nothing:
        pass

    @step(timeout=STEP)
    async def wait(nothing: Nothing) -> None:
        await trio.sleep_forever()

    @flow
    def slow() -> Wiring[Nothing]:
        return [wait.then(END)]
"""


def test_the_timeout_of_the_run_has_its_own_code(project: Project) -> None:
    project.write("slow.py", SLOW.replace("STEP", "None"))
    answer = project.run("run", "slow.py", "--timeout", "0.01")
    assert answer.code == 124
    assert "DeadlineExceededError: timeout of the run (0.01 s) ran out" in answer.err


def test_the_timeout_of_a_step_is_a_failure_like_others(project: Project) -> None:
    project.write("slow.py", SLOW.replace("STEP", "0.01"))
    answer = project.run("run", "slow.py", "--timeout", "60")
    assert answer.code == 1
    assert "DeadlineExceededError: timeout of slow/wait (0.01 s) ran out" in answer.err


def test_the_seed_repeats_the_dice(project: Project) -> None:
    source = """
        @define
        class Dice:
            thrown: float = 0.0

        @step
        async def throw(dice: Dice) -> None:
            dice.thrown = current_step().random.random()

        @flow
        def game() -> Wiring[Dice]:
            return [throw.then(END)]
    """
    project.write("game.py", source)
    first, again, other = (
        project.run("run", "game.py", "--seed", seed).out for seed in ("1", "1", "2")
    )
    assert first == again != other


def test_a_state_that_cannot_be_written_as_json_is_an_error_that_says_so(
    project: Project,
) -> None:
    source = """
        @define
        class Loose:
            value: object = None

        @step
        async def spoil(loose: Loose) -> None:
            loose.value = trio.Path

        @flow
        def spoiled() -> Wiring[Loose]:
            return [spoil.then(END)]
    """
    project.write("spoiled.py", source)
    assert project.run("run", "spoiled.py").code == 0
    answer = project.run("run", "spoiled.py", "--json")
    assert answer.code == 1
    assert answer.data["error"]["type"] == "CodecError"
    assert "$.value" in answer.data["error"]["message"]


def test_a_run_that_lacks_a_resource_is_refused_before_anything_runs(project: Project) -> None:
    source = """
        HTTP = Resource("http", object)

        @define
        class Nothing:
            pass

        @step(uses=(HTTP,))
        async def fetch(nothing: Nothing) -> None: ...

        @flow
        def fetching() -> Wiring[Nothing]:
            return [fetch.then(END)]
    """
    project.write("fetching.py", source)
    answer = project.run("run", "fetching.py")
    assert answer.code == 2
    assert answer.err.startswith("error: resource 'http' of step 'fetch': missing")
    answer = project.run("run", "fetching.py", "--json")
    assert answer.data["error"]["type"] == "UsageError"


def test_a_node_that_wants_to_end_the_program_ends_the_run(project: Project) -> None:
    source = """
        import sys

        @define
        class Nothing:
            pass

        @step
        async def leave(nothing: Nothing) -> None:
            sys.exit(3)

        @flow
        def leaving() -> Wiring[Nothing]:
            return [leave.then(END)]
    """
    project.write("leaving.py", source)
    answer = project.run("run", "leaving.py")
    assert answer.code == 1
    assert "failed in exec after 0.000 s: SystemExit: 3" in re.sub(
        r"after [\d.]+ s", "after 0.000 s", answer.err
    )
    assert answer.err.endswith("it was stopped by SystemExit\n")


# ---------------------------------------------------------------- signals, in this process

INTERRUPTED = """
    import signal
    from pathlib import Path

    @define
    class Nothing:
        pass

    async def tidy() -> None:
        Path("tidied").touch()

    @step
    async def wait(nothing: Nothing) -> None:
        current_step().on_cleanup(tidy)
        signal.raise_signal(signal.SIGNAL)
        await trio.sleep_forever()

    @flow
    def interrupted() -> Wiring[Nothing]:
        return [wait.then(END)]
"""


@pytest.mark.parametrize(
    ("signal", "called", "code"), [("SIGINT", "Ctrl-C", 130), ("SIGTERM", "SIGTERM", 143)]
)
def test_a_signal_cancels_the_run_and_its_cleanups_run(
    project: Project, signal: str, called: str, code: int
) -> None:
    project.write("interrupted.py", INTERRUPTED.replace("SIGNAL", signal))
    answer = project.run("run", "interrupted.py", "--grace", "0", "--json")
    assert answer.code == code
    assert (project.folder / "tidied").exists()
    assert f"{called}: cancelling the run; once more ends it at once\n" in answer.err
    error = answer.data["error"]
    (cut,) = error.pop("cut_off")
    assert error == {
        "type": "RunCancelledError",
        "message": f"the run was cancelled in interrupted/wait: {called}",
    }
    assert (cut["path"], cut["phase"], cut["attempt"]) == ("interrupted/wait", "exec", 1)


def test_a_cancelled_run_tells_people_what_was_cut_off(project: Project) -> None:
    project.write("interrupted.py", INTERRUPTED.replace("SIGNAL", "SIGINT"))
    answer = project.run("run", "interrupted.py", "--grace", "0")
    assert answer.code == 130
    report = answer.err.partition("error: ")[2]
    assert re.sub("after [^ ]+ s", "after T s", report) == (
        "the run was cancelled in interrupted/wait: Ctrl-C\n  exec of interrupted/wait, after T s\n"
    )


@pytest.mark.usefixtures("heeds_control_c")
def test_ctrl_c_while_a_module_is_imported_has_the_code_130(project: Project) -> None:
    project.write(
        "slow_import.py", "import signal\nsignal.raise_signal(signal.SIGINT)\n", head=""
    )
    answer = project.run("run", "slow_import.py")
    assert (answer.code, answer.out, answer.err) == (130, "", "Ctrl-C: nothing was run\n")


# ---------------------------------------------------------------- events


def events_in(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_event_is_a_line_of_json_with_all_its_fields(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run(
        "run", "news.py", "--set", "topic=trio", "--json", "--events", "events.jsonl"
    )
    events = events_in(project.folder / "events.jsonl")
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert [event["event_type"] for event in events] == [
        "run_start",
        *["node_start", "node_success", "routed"] * 4,
        "run_end",
    ]
    assert all(list(event) == list(events[0]) for event in events)
    assert {event["run_id"] for event in events} == {answer.data["run_id"]}
    last_visit = events[-3]
    assert isinstance(last_visit.pop("timestamp"), float)
    assert isinstance(last_visit.pop("duration_ms"), float)
    assert last_visit == {
        "event_type": "node_success",
        "seq": 11,
        "path": "news/review#2",
        "node_id": "review",
        "run_id": answer.data["run_id"],
        "metadata": {"exit": "approved"},
        "fields": {"exit": "approved"},
    }


@pytest.mark.parametrize("source", [FAILING, INTERRUPTED.replace("SIGNAL", "SIGINT")])
def test_events_are_complete_however_the_run_ends(project: Project, source: str) -> None:
    project.write("ending.py", source)
    assert project.run("run", "ending.py", "--grace", "0", "--events", "events.jsonl").code in {
        1,
        130,
    }
    assert events_in(project.folder / "events.jsonl")[-1]["event_type"] == "run_end"


def test_an_events_file_that_cannot_be_opened_is_a_usage_error(project: Project) -> None:
    project.write("failing.py", FAILING)
    answer = project.run("run", "failing.py", "--events", "nowhere/events.jsonl")
    assert (answer.code, answer.err) == (
        2,
        "error: nowhere/events.jsonl cannot be written: No such file or directory\n",
    )


def test_an_events_file_that_fills_up_is_warned_of_and_the_run_goes_on(
    project: Project,
) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py", "--set", "topic=trio", "--events", "/dev/full")
    assert answer.code == 0
    assert answer.err.endswith(
        "warning: /dev/full is not complete: [Errno 28] No space left on device\n"
    )


# ---------------------------------------------------------------- the edges of the command


def test_a_flow_whose_state_type_is_unknown_says_what_to_write(project: Project) -> None:
    source = """
        @define
        class Nothing:
            pass

        @step
        async def idle(nothing: Nothing) -> None: ...

        @flow
        def untyped():
            return [idle.then(END)]
    """
    project.write("untyped.py", source)
    answer = project.run("run", "untyped.py")
    assert answer.code == 2
    assert answer.err.startswith("error: the shared state must be an attrs class")
    assert "@flow(state=...)" in answer.err


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("runn",), "Unknown command"),
        (("run",), "TARGET"),
        (("run", "news.py", "--timeout", "0"), "timeout"),
        (("run", "news.py", "--timeout", "soon"), "timeout"),
        (("run", "news.py", "--sed", "1"), "--seed"),
        (("check",), "TARGETS"),
        (("graph", "news.py", "--format", "png"), "mermaid"),
    ],
)
def test_a_misspelt_command_is_explained_and_has_the_code_2(
    project: Project, tokens: tuple[str, ...], said: str
) -> None:
    answer = project.run(*tokens)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_help_and_version_answer_on_stdout_with_the_code_0(project: Project) -> None:
    for tokens in ([], ["--help"], ["run", "--help"]):
        answer = project.run(*tokens)
        assert (answer.code, answer.err) == (0, "")
        assert "agentflow run editorial.py:editorial --set topic=trio" in answer.out
        assert "  124  the run's --timeout ran out" in answer.out
    version = project.run("--version")
    assert (version.code, version.out.count("\n")) == (0, 1)


def test_what_stdout_cannot_spell_is_escaped(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("news.py", NEWS)
    raw = io.BytesIO()
    monkeypatch.setattr(
        "sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    )
    assert main(["run", "news.py", "--set", "topic=é", "--set", "rounds=1"]) == 0
    assert raw.getvalue() == b"Article(topic='\\xe9', draft='all about \\xe9', rounds=2)\n"


def test_a_stdout_that_is_no_file_is_left_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("news.py", NEWS)
    text = io.StringIO()
    monkeypatch.setattr("sys.stdout", text)
    assert main(["graph", "news.py"]) == 0
    assert text.getvalue().startswith("flow news (exits: published)\n")
