"""The parts around the commands: the way in without the extra, signals and views, taken singly."""

from __future__ import annotations

import importlib.metadata
import io
import runpy
import signal
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


def test_the_module_ends_with_the_code_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["agentflow", "graph", "nowhere.py"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("agentflow_trio", run_name="__main__")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: there is no file nowhere.py\n"


def test_importing_the_module_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("agentflow_trio.__main__")
    assert capsys.readouterr() == ("", "")


def test_the_version_is_that_of_the_installed_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {"agentflow_trio": "1.2.3"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "1.2.3\n"


def test_a_usage_error_is_one_text_of_problem_details_and_hint() -> None:
    assert (
        str(UsageError(problem="it is wrong", details=("a", "b"), hint="Do it."))
        == "it is wrong\n  a\n  b\nDo it."
    )
    assert str(UsageError(problem="it is wrong")) == "it is wrong"


# ---------------------------------------------------------------- signals


async def test_the_first_signal_asks_in_the_loop_and_the_second_kills_in_the_handler() -> None:
    done: list[object] = []
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(
        done.append, restore=lambda: done.append("restore"), kill=done.append
    ) as interrupts:
        signal.raise_signal(signal.SIGTERM)
        done.append("raised")
        await trio.testing.wait_all_tasks_blocked()
        signal.raise_signal(signal.SIGINT)
    assert done == ["raised", "SIGTERM", "restore", ExitCode.INTERRUPTED]
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

    def restore(self) -> None: ...

    async def keep_drawing(self) -> None:
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
