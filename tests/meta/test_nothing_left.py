"""The watch over every test (tests/conftest.py) notices what a test leaves behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

CONFTEST: Final = Path(__file__).parents[1] / "conftest.py"

LEAKS: Final = """
import threading

import pytest
import trio
from hypothesis import given, settings, strategies as st

gate = threading.Event()


async def test_clean(autojump_clock):
    await trio.sleep(3600)
    await trio.to_thread.run_sync(int)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)


async def test_child(nursery):
    nursery.start_soon(trio.sleep_forever, name="stray child")


async def test_grandchild(nursery):
    async def parent():
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep_forever, name="stray grandchild")

    nursery.start_soon(parent, name="parent")
    await trio.testing.wait_all_tasks_blocked()


async def test_system_task():
    trio.lowlevel.spawn_system_task(trio.sleep_forever, name="stray system task")


class TestInAClass:
    async def test_method(self, nursery):
        nursery.start_soon(trio.sleep_forever, name="stray of a method")


@settings(max_examples=2)
@given(number=st.integers())
async def test_property(number):
    trio.lowlevel.spawn_system_task(trio.sleep_forever, name="stray of a property")


async def test_thread():
    token = trio.lowlevel.current_trio_token()

    def work():
        token.run_sync_soon(scope.cancel)
        gate.wait(60)

    with trio.CancelScope() as scope:
        await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def test_plain_thread():
    threading.Thread(target=gate.wait, args=[60], name="stray thread").start()


def test_release():
    gate.set()
"""


EXPECTED: Final = [
    ("test_clean", "PASSED", ""),
    ("test_child", "FAILED", "task stray child is alive"),
    ("test_grandchild", "FAILED", "'task parent is alive', 'task stray grandchild is alive'"),
    ("test_system_task", "FAILED", "task stray system task is alive"),
    ("TestInAClass::test_method", "FAILED", "task stray of a method is alive"),
    ("test_property", "FAILED", "task stray of a property is alive"),
    ("test_thread", "FAILED", "borrowed_tokens was 0, is 1"),
    ("test_thread", "ERROR", "left threads at work: "),
    ("test_plain_thread", "ERROR", "left threads at work: stray thread"),
    ("test_release", "PASSED", ""),
]


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The summary lines of a run over tests that leave things behind."""
    folder = tmp_path_factory.mktemp("leaks")
    shutil.copy(CONFTEST, folder)
    (folder / "test_leaks.py").write_text(LEAKS, encoding="utf-8")
    (folder / "pytest.toml").write_text("[pytest]\ntrio_mode = true\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "test_leaks.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "1000"},
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(("test", "outcome", "message"), EXPECTED)
def test_what_a_test_leaves_is_noticed(
    test: str, outcome: str, message: str, summary: list[str]
) -> None:
    lines = [line for line in summary if re.match(rf"[A-Z]+ test_leaks.py::{test}( |$)", line)]
    assert [line for line in lines if line.startswith(outcome) and message in line], lines
    assert outcome != "PASSED" or len(lines) == 1
