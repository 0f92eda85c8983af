"""The command as a process of its own: signals, a real terminal, pipes."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import agentflow_trio

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from tests.cli.conftest import Project

HOME = Path(agentflow_trio.__file__).parents[1]

HELD = """
    from pathlib import Path

    @define
    class Nothing:
        pass

    async def tidy() -> None:
        Path("tidied").touch()

    async def dawdle() -> None:
        print("dawdling")
        await trio.sleep_forever()

    @step
    async def wait(nothing: Nothing) -> None:
        current_step().on_cleanup(CLEANUP)
        print("working")
        await trio.sleep_forever()

    @flow
    def held() -> Wiring[Nothing]:
        return [wait.then(END)]
"""
BLOCKED = HELD.replace("CLEANUP", "tidy").replace(
    "await trio.sleep_forever()", "import time; time.sleep(600)"
)


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(HOME),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def started(*tokens: str, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """``agentflow`` with *tokens*, with pipes, but perhaps a terminal as stderr; killed if the test fails."""
    command = [sys.executable, "-m", "agentflow_trio", *tokens]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment(),
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], word: str) -> None:
    """Read lines of stderr until one ends with *word*."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if line.rstrip().endswith(word):
            return
    pytest.fail(f"the process ended without saying {word!r}:\n{''.join(lines)}")


STEPS = """
    from pathlib import Path

    @define
    class Seen:
        word: str = ""

    @step
    async def read(seen: Seen) -> None:
        print("working")
        seen.word = await current_step().to_thread(Path("door").read_text)

    @step
    async def after(seen: Seen) -> None:
        print("after")

    @flow
    def steps() -> Wiring[Seen]:
        return [read.then(after), after.then(END)]

    @flow
    def single() -> Wiring[Seen]:
        return [read.then(END)]
"""


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)],
)
def test_after_the_first_signal_the_step_in_flight_ends_and_no_other_begins(
    project: Project, number: int, name: str, code: int
) -> None:
    project.write("steps.py", STEPS)
    os.mkfifo(project.folder / "door")
    options = ("--grace", "600", "--events", "events.jsonl")
    with started("run", "steps.py:steps", *options) as process:
        read_until(process, "working")
        process.send_signal(number)
        read_until(
            process,
            f"{name}: ending the run, what is in flight has 600 s; once more cancels it",
        )
        (project.folder / "door").write_text("open")
        out, err = process.communicate()
    assert (process.returncode, out) == (code, "")
    assert "steps/read done" in err
    assert "steps/after" not in err
    assert "error: the run was cancelled: drain\n" in err
    last = (project.folder / "events.jsonl").read_text().splitlines()[-1]
    assert '"event_type": "run_end"' in last
    assert '"outcome": "cancelled"' in last


def test_a_run_that_comes_to_its_end_after_a_signal_has_ended_well(project: Project) -> None:
    project.write("steps.py", STEPS)
    os.mkfifo(project.folder / "door")
    with started("run", "steps.py:single", "--grace", "600") as process:
        read_until(process, "working")
        process.terminate()
        read_until(process, "once more cancels it")
        (project.folder / "door").write_text("open")
        out, _ = process.communicate()
    assert (process.returncode, out) == (0, "Seen(word='open')\n")


def test_what_is_in_flight_when_the_grace_is_over_is_cancelled(project: Project) -> None:
    project.write("held.py", HELD.replace("CLEANUP", "tidy"))
    with started("run", "held.py", "--grace", "0.05") as process:
        read_until(process, "working")
        process.terminate()
        out, err = process.communicate()
    assert (process.returncode, out) == (143, "")
    assert (
        "SIGTERM: ending the run, what is in flight has 0.05 s; once more cancels it\n" in err
    )
    assert "error: the run was cancelled in held/wait: drain\n" in err
    assert (project.folder / "tidied").exists()


def test_the_second_signal_cancels_at_once_and_the_third_ends_the_process(
    project: Project,
) -> None:
    project.write("held.py", HELD.replace("CLEANUP", "dawdle"))
    with started("run", "held.py", "--grace", "600") as process:
        read_until(process, "working")
        process.terminate()
        read_until(process, "once more cancels it")
        process.send_signal(signal.SIGINT)
        read_until(process, "Ctrl-C: cancelling the run; once more ends it at once")
        read_until(process, "dawdling")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "ended" not in err


def test_without_a_grace_ctrl_c_cancels_the_run_cleans_up_and_has_the_code_130(
    project: Project,
) -> None:
    project.write("held.py", HELD.replace("CLEANUP", "tidy"))
    with started("run", "held.py", "--grace", "0", "--events", "events.jsonl") as process:
        read_until(process, "working")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "Ctrl-C: cancelling the run; once more ends it at once\n" in err
    assert "error: the run was cancelled in held/wait: Ctrl-C\n" in err
    assert (project.folder / "tidied").exists()
    assert (
        '"event_type": "run_end"'
        in (project.folder / "events.jsonl").read_text().splitlines()[-1]
    )


def test_sigterm_does_the_same_with_the_code_143(project: Project) -> None:
    project.write("held.py", HELD.replace("CLEANUP", "tidy"))
    with started("run", "held.py", "--grace", "0") as process:
        read_until(process, "working")
        process.terminate()
        process.communicate()
    assert process.returncode == 143
    assert (project.folder / "tidied").exists()


def test_without_a_grace_the_second_ctrl_c_ends_the_process_although_a_cleanup_is_still_busy(
    project: Project,
) -> None:
    project.write("held.py", HELD.replace("CLEANUP", "dawdle"))
    with started("run", "held.py", "--grace", "0") as process:
        read_until(process, "working")
        process.send_signal(signal.SIGINT)
        read_until(process, "dawdling")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "did not end within" not in err
    assert "ended" not in err


def test_pressing_ctrl_c_again_ends_the_process_although_a_node_blocks_the_loop(
    project: Project,
) -> None:
    project.write("blocked.py", BLOCKED)
    with started("run", "blocked.py") as process:
        read_until(process, "working")
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert not (project.folder / "tidied").exists()


# ---------------------------------------------------------------- terminals

WATCHED = """
    import threading
    from pathlib import Path

    @define
    class Seen:
        word: str = ""

    @step
    async def read(seen: Seen) -> None:
        print("from the node")
        current_step().report(0.5, "half way")
        seen.word = await current_step().to_thread(Path("door").read_text)

    @flow
    def watched() -> Wiring[Seen]:
        return [read.then(END)]
"""


def read_terminal(terminal: int, word: str = "") -> str:
    """What is written to the terminal up to *word*, or to its end."""
    seen = b""
    while not word or word.encode() not in seen:
        try:
            found = os.read(terminal, 4096)
        except OSError:  # Linux: the other side was closed
            found = b""
        if not found:
            assert not word, f"the terminal was closed without {word!r}: {seen!r}"
            break
        seen += found
    return seen.decode(errors="replace")


@contextmanager
def terminal_of(width: int, height: int) -> Iterator[tuple[int, int]]:
    """A terminal: our side and the process's."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (height, width))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_the_steps_are_a_table_redrawn_in_place(
    project: Project, monkeypatch: pytest.MonkeyPatch, colour: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLUMNS")
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    project.write("watched.py", WATCHED)
    os.mkfifo(project.folder / "door")
    with (
        terminal_of(60, 20) as (ours, theirs),
        started("run", "watched.py", stderr=theirs) as process,
    ):
        os.close(theirs)
        seen = read_terminal(ours, "half way")
        (project.folder / "door").write_text("open")
        seen += read_terminal(ours)
        assert process.stdout is not None
        out = process.stdout.read()
    assert (process.returncode, out) == (0, "Seen(word='open')\n")
    assert "\x1b[1A\x1b[2K" in seen  # up one line and wiped: redrawn in place
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # the cursor is back
    assert ("\x1b[36m" in seen) is colour
    text = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", seen).replace("\r", "")
    last = text[text.rindex("✓ watched") :]
    assert re.fullmatch(
        r"✓ watched  1 visit +\d+\.\d s\n  ✓ read   half way +\d+\.\d s\n", last
    )
    assert seen.count("from the node") == 1


def test_ctrl_c_on_a_terminal_says_so_above_the_table(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    project.write("held.py", HELD.replace("CLEANUP", "tidy"))
    with (
        terminal_of(80, 20) as (ours, theirs),
        started("run", "held.py", "--grace", "0", stderr=theirs) as process,
    ):
        os.close(theirs)
        seen = read_terminal(ours, "working")
        process.send_signal(signal.SIGINT)
        seen += read_terminal(ours)
    assert process.returncode == 130
    assert "Ctrl-C: cancelling the run; once more ends it at once" in seen
    assert "◌ wait" in re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", seen)


def test_a_dumb_terminal_gets_lines(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    project.write(
        "watched.py",
        WATCHED.replace('await current_step().to_thread(Path("door").read_text)', '"x"'),
    )
    with (
        terminal_of(80, 20) as (ours, theirs),
        started("run", "watched.py", stderr=theirs) as process,
    ):
        os.close(theirs)
        seen = read_terminal(ours)
        process.communicate()
    assert "watched/read started" in seen
    assert "\x1b[" not in seen


def test_in_a_pipe_there_is_not_one_escape_code(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    project.write(
        "watched.py",
        WATCHED.replace('await current_step().to_thread(Path("door").read_text)', '"x"'),
    )
    for tokens in (
        ["run", "watched.py"],
        ["--help"],
        ["run", "nowhere.py"],
        ["check", "watched.py"],
    ):
        with started(*tokens) as process:
            out, err = process.communicate()
        assert "\x1b" not in out + err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_an_answer_to_a_full_device_is_one_sentence_and_the_code_2(project: Project) -> None:
    project.write("watched.py", HELD.replace("CLEANUP", "tidy"))
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "agentflow_trio", "graph", "watched.py"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={
                name: value
                for name, value in environment().items()
                if name != "PYTHONUNBUFFERED"
            },
            text=True,
            encoding="utf-8",
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        "error: the answer cannot be written: No space left on device\n",
    )


def test_the_module_can_be_run_and_takes_its_arguments_from_the_command_line(
    project: Project,
) -> None:
    with started("--version") as process:
        out, err = process.communicate()
    assert (process.returncode, out.count("\n"), err) == (0, 1, "")
