"""The same seed gives the same run; what does not is found, line by line."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
from pathlib import Path
from random import Random

import pytest
import trio

from agentflow_trio.testing import (
    NestedSimulationError,
    NondeterminismError,
    cancel_everywhere,
    check_deterministic,
)

pytestmark = pytest.mark.slow


async def shuffled(rng: Random) -> list[int]:
    """Tasks whose order comes from the schedule, and delays that come from the dice."""
    order: list[int] = []

    async def work(number: int, delay: float) -> None:
        for _ in range(3):
            order.append(number)
            await trio.sleep(delay)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(work, number, rng.choice((0.0, 0.5, 1.0)))
    return order


async def in_the_order_of_a_set() -> None:
    """Starts tasks in an order that PYTHONHASHSEED decides."""
    names = {f"name {number}" for number in range(20)}
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(trio.sleep, 1, name=name)


async def failing() -> None:
    await trio.sleep(2)
    raise LookupError


async def endless() -> None:
    count = 0
    while True:
        count += 1
        await trio.sleep(1)


async def with_threads() -> list[int]:
    done: list[int] = []

    async def work(number: int) -> None:
        await trio.to_thread.run_sync(int)
        done.append(number)
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        done.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, 1)
        nursery.start_soon(trio.sleep, 1)
    return done


def test_the_same_seed_gives_the_same_trace_a_hundred_times_over() -> None:
    traces = [check_deterministic(shuffled, seed=seed, hash_seed=None) for seed in range(100)]
    assert len({tuple(trace) for trace in traces}) == 100
    assert traces[7] == check_deterministic(shuffled, seed=7, hash_seed=None)


def test_it_is_the_same_in_another_process_with_another_hash_seed() -> None:
    trace = check_deterministic(shuffled, seed=3)
    assert trace == check_deterministic(shuffled, seed=3, hash_seed=4_242)
    assert trace[-1].split(" ", 2)[1] == "returned"


def test_the_trace_says_who_went_on_when_and_where_and_what_came_of_it() -> None:
    async def program() -> str:
        await trio.sleep(1.5)
        return "done"

    first, last = check_deterministic(program, hash_seed=None)
    time, name, place = first.split(" ")
    assert (time, name) == ("1.5", "main")
    assert place.startswith("test_determinism.py:")
    assert last == "1.5 returned 'done'"


def test_what_a_program_raises_is_compared_by_its_kind() -> None:
    assert check_deterministic(failing, hash_seed=None)[-1] == "2.0 raised LookupError"
    assert check_deterministic(endless, hash_seed=None, max_steps=7)[-1] == (
        "7.0 raised StepBudgetError"
    )


def test_a_set_that_decides_an_order_is_found() -> None:
    with pytest.raises(NondeterminismError) as caught:
        check_deterministic(in_the_order_of_a_set, hash_seed=1)
    error = caught.value
    assert error.first != error.second
    assert str(error.first).startswith("0.0 name ")
    assert str(error.second).startswith("0.0 name ")
    assert len(error.before) <= 5
    text = str(error)
    assert f"two runs with the same seed differ at line {error.line}:" in text
    assert f"\n  1 {error.first}\n  2 {error.second}\n" in text
    assert "look for sets, id()" in text


def test_dice_without_a_seed_are_found() -> None:
    async def program() -> float:
        await trio.lowlevel.checkpoint()
        return random.random()

    with pytest.raises(NondeterminismError) as caught:
        check_deterministic(program, hash_seed=None)
    assert caught.value.line == 2
    assert len(caught.value.before) == 1


def test_a_run_that_goes_on_longer_is_found() -> None:
    runs: list[int] = []

    async def program() -> None:
        runs.append(1)
        for _ in runs:
            await trio.sleep(1)

    with pytest.raises(NondeterminismError) as caught:
        check_deterministic(program, hash_seed=None)
    assert caught.value.line == 2

    error = NondeterminismError(line=1, first=None, second="x", before=())
    assert "\n  1 (had ended)\n  2 x\n" in str(error)
    assert "\n  2 (had ended)\n" in str(
        NondeterminismError(line=1, first="x", second=None, before=())
    )


def test_threads_come_back_at_the_same_moment_every_time() -> None:
    traces = {
        tuple(check_deterministic(with_threads, seed=5, hash_seed=None)) for _ in range(5)
    }
    assert len(traces) == 1


def test_a_program_that_another_process_cannot_find_is_refused() -> None:
    async def program() -> None: ...

    with pytest.raises(ValueError, match=r"program is not at the top level of a module"):
        check_deterministic(program)


def test_a_process_that_fails_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "moody.py"
    source.write_text(
        textwrap.dedent("""
            import os

            if os.environ.get("PYTHONHASHSEED") == "77":
                raise RuntimeError("not today")

            async def program():
                pass
            """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    moody = __import__("moody")
    with pytest.raises(ValueError, match=r"(?s)did not run in another process:.*not today"):
        check_deterministic(moody.program, hash_seed=77)


def test_a_module_that_checks_while_it_is_imported_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            from agentflow_trio.testing import check_deterministic

            async def program():
                pass

            check_deterministic(program)
            """)
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert 'put the call under if __name__ == "__main__"' in done.stderr


def test_what_the_program_prints_does_not_disturb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "talkative.py"
    source.write_text(
        textwrap.dedent("""
            async def program():
                print("no end of line", end="")
            """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    talkative = __import__("talkative")
    assert check_deterministic(talkative.program) == ["0.0 returned None"]


async def test_it_is_not_for_async_functions() -> None:
    with pytest.raises(NestedSimulationError):
        check_deterministic(shuffled)


def test_a_program_that_is_cancelled_everywhere_is_so_the_same_way_each_time() -> None:
    assert cancel_everywhere(shuffled, seeds=2) == cancel_everywhere(shuffled, seeds=2)
