"""The parts around the commands: the way in without the extra, signals and views, taken singly."""

from __future__ import annotations

import errno
import importlib.metadata
import io
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import define
from typing_extensions import override

from agentflow_trio.cli import main
from agentflow_trio.cli._exit import ExitCode, UsageError
from agentflow_trio.cli._lines import Lines
from agentflow_trio.cli._running import carry_out
from agentflow_trio.cli._signals import Interrupts
from agentflow_trio.flow import Wiring, flow, step
from agentflow_trio.types import END

if TYPE_CHECKING:
    from tests.cli.conftest import Project


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_the_extra_one_sentence_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = (
        "agentflow_trio.cli.app",
        "agentflow_trio.cli.answers",
        "agentflow_trio.cli.progress",
    )
    for name in [*sys.modules]:
        if name.startswith((*ours, f"{missing}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["--help"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"The agentflow command needs {missing!r}, which is not installed: run  pip install 'agentflow_trio[cli]'\n"
    )


def test_another_missing_module_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agentflow_trio.cli.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"agentflow_trio\.cli\.app"):
        main([])


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False
    )


def test_the_module_ends_with_the_code_of_the_command() -> None:
    done = python("-m", "agentflow_trio", "graph", "nowhere.py")
    assert done.returncode == 2
    assert done.stderr == "error: there is no file nowhere.py\n"


def test_importing_the_module_runs_nothing() -> None:
    done = python("-c", "import agentflow_trio.__main__")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_version_is_that_of_the_installed_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {"agentflow_trio": "1.2.3"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "1.2.3\n"


def test_the_version_in_a_source_tree_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "unknown (not installed)\n"


def test_a_usage_error_is_one_text_of_problem_details_and_hint() -> None:
    assert (
        str(UsageError(problem="it is wrong", details=("a", "b"), hint="Do it."))
        == "it is wrong\n  a\n  b\nDo it."
    )
    assert str(UsageError(problem="it is wrong")) == "it is wrong"


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (
            ["run", "q.py:q", "--json", "--timeout", "-1"],
            'Invalid value "-1.0" for --timeout. Must be > 0.',
        ),
        (
            ["run", "q.py:q", "--sett", "x=1", "--json"],
            "Unknown option: --sett. Did you mean --set?",
        ),
        (["run", "--json"], 'Command "run" parameter TARGET requires an argument.'),
        (["check", "--json"], 'Command "check" parameter TARGETS requires an argument.'),
    ],
)
def test_options_that_are_wrong_are_one_json_object_too(
    project: Project, tokens: list[str], said: str
) -> None:
    answer = project.run(*tokens)
    assert (answer.code, answer.err) == (2, "")
    assert answer.data == {
        "error": {"type": "UsageError", "message": said, "details": [], "hint": ""}
    }


def test_options_that_are_wrong_are_said_to_people_on_stderr(project: Project) -> None:
    answer = project.run("run", "q.py:q", "--sett", "x=1")
    assert (answer.code, answer.out) == (2, "")
    assert "Unknown option: --sett. Did you mean --set?" in answer.err


SINGLE = """
    @define
    class Nothing:
        pass

    @step
    async def idle(nothing: Nothing) -> None: ...

    @flow
    def single() -> Wiring[Nothing]:
        return [idle.then(END)]
"""


class Shut(io.RawIOBase):
    """A device that takes nothing."""

    def __init__(self, number: int) -> None:
        self.number = number

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: object, /) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
@pytest.mark.parametrize(
    "tokens",
    [
        ["run", "single.py"],
        ["run", "single.py", "--json"],
        ["run", "nowhere.py", "--json"],
        ["run", "--json"],
        ["check", "single.py"],
        ["check", "single.py", "--json"],
        ["graph", "single.py"],
        ["--help"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_an_answer_that_cannot_be_written_is_one_sentence_and_the_code_2(
    project: Project, monkeypatch: pytest.MonkeyPatch, tokens: list[str], number: int
) -> None:
    project.write("single.py", SINGLE)
    shut = io.TextIOWrapper(io.BufferedWriter(Shut(number)), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", shut)
    answer = project.run(*tokens)
    assert answer.code == 2
    assert (
        answer.err.splitlines()[-1]
        == f"error: the answer cannot be written: {os.strerror(number)}"
    )
    assert answer.err.count("error:") == 1
    assert (
        shut.closed
    )  # nothing is left that Python would write, and complain about, at its end


# ---------------------------------------------------------------- signals


async def test_the_first_signals_ask_in_the_loop_and_the_next_kills_in_the_handler() -> None:
    done: list[object] = []
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(
        done.append,
        lambda name: done.append(f"{name} again"),
        restore=lambda: done.append("restore"),
        kill=done.append,
    ) as interrupts:
        signal.raise_signal(signal.SIGTERM)
        done.append("raised")
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)
    assert done == ["raised", "SIGTERM", "Ctrl-C again", "restore", ExitCode.INTERRUPTED]
    assert interrupts.code is ExitCode.TERMINATED
    assert signal.getsignal(signal.SIGINT) is before


async def test_without_a_signal_there_is_no_code() -> None:
    with Interrupts(print) as interrupts:
        await trio.lowlevel.checkpoint()
    assert interrupts.code is None


# ---------------------------------------------------------------- views


@define
class Nothing:
    pass


@step
async def idle(nothing: Nothing) -> None: ...


@flow
def single() -> Wiring[Nothing]:
    return [idle.then(END)]


class BrokenView:
    """A view with a bug."""

    def __init__(self) -> None:
        self.observer = Lines(io.StringIO())

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def say(self, text: str) -> None: ...

    def fail(self, text: str) -> None: ...

    def restore(self) -> None: ...

    async def keep_drawing(self, _look: object, /) -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("a bug")


async def test_a_bug_in_a_view_is_not_hidden() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="a bug")):
        await carry_out(single, Nothing(), BrokenView())


def test_a_terminal_gets_the_table_within_this_process(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        @override
        def isatty(self) -> bool:
            return True

    source = """
        @define
        class Nothing:
            pass

        @step
        async def idle(nothing: Nothing) -> None: ...

        @flow
        def single() -> Wiring[Nothing]:
            return [idle.then(END)]
    """
    project.write("single.py", source)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert project.run("run", "single.py").out == "Nothing()\n"
    assert "✓" in terminal.getvalue() or "+" in terminal.getvalue()
    assert "idle" in terminal.getvalue()
