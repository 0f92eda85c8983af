"""Calls in processes of their own: real ones, few and quick."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import crunching
import pytest
import trio

from agentflow_trio import (
    Engine,
    ExtraMissingError,
    FlowFailedError,
    NotPicklableError,
    WorkerDiedError,
    current_step,
)
from agentflow_trio.engine._pickled import not_picklable
from agentflow_trio.testing import assert_no_leaks, simulate

from .engine_kit import Notes, chain, doing

cpu = pytest.mark.cpu


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def only_failure(engine: Engine, work: Callable[[], Awaitable[object]]) -> Exception:
    with pytest.raises(FlowFailedError) as caught:
        await engine.run(doing(work, "work"), Notes())
    return caught.value.only()


async def at_work(started: trio.Path) -> int:
    """The process that says so in the file, once it does."""
    with trio.fail_after(60):
        while not await started.exists():
            await trio.lowlevel.checkpoint()
    return int(await started.read_text(encoding="utf-8"))


@cpu
async def test_a_worker_makes_one_call_after_the_other_on_copies_and_ends_with_the_engine() -> (
    None
):
    numbers = [1, 2, 3]

    async def work() -> None:
        here = current_step()
        seen.append(await here.to_process(crunching.square, 7))
        seen.append(await here.to_process(crunching.grow, numbers))
        pids.extend([await here.to_process(crunching.pid) for _ in range(2)])

    seen, pids = list[int](), list[int]()
    async with Engine() as engine:
        with assert_no_leaks(engine):
            await engine.run(doing(work, "work"), Notes())
        assert is_alive(pids[0])
    assert seen == [49, 10]
    assert numbers == [1, 2, 3]
    assert pids[0] == pids[1] != os.getpid()
    assert not is_alive(pids[0])


@cpu
async def test_so_many_calls_are_made_at_once_and_cancelling_one_kills_its_process(
    tmp_path: Path,
) -> None:
    started = tmp_path / "started"

    async def spin() -> None:
        await current_step().to_process(crunching.spin, str(started))

    async def work() -> None:
        seen.append(await current_step().to_process(crunching.pid))

    seen = list[int]()
    async with Engine(max_processes=1) as engine, trio.open_nursery() as nursery:
        async with engine.start(doing(spin, "spin"), Notes()) as run:
            process = await at_work(trio.Path(started))
            nursery.start_soon(engine.run, doing(work, "work"), Notes())
            await trio.testing.wait_all_tasks_blocked()
            now = engine.statistics()
            assert (now.processes, now.processes_waiting) == (1, 1)
            waits = [visit.waits_for for visit in engine.snapshot().visits()]
            assert waits == ["a process: spin", "a process: pid"]
            report = await run.cancel("enough")
            assert [cut.path for cut in report.cut_off] == ["spin"]
        assert not is_alive(process)
    assert seen != [process]
    assert len(seen) == 1
    assert (engine.statistics().processes, engine.statistics().processes_waiting) == (0, 0)


@cpu
async def test_what_goes_wrong_there_fails_the_step_with_the_very_error() -> None:
    async with Engine(max_processes=1) as engine:
        error = await only_failure(
            engine, lambda: current_step().to_process(crunching.fail, "no")
        )
        assert (type(error), str(error)) == (ValueError, "no")
        error = await only_failure(
            engine, lambda: current_step().to_process(crunching.type_error)
        )
        assert (type(error), str(error)) == (TypeError, "cannot add")
        error = await only_failure(engine, lambda: current_step().to_process(crunching.crash))
        assert isinstance(error, WorkerDiedError)
        assert (error.function, error.exit_code) == ("crash", -9)
        error = await only_failure(
            engine, lambda: current_step().to_process(crunching.lock_of, 3)
        )
        assert isinstance(error, NotPicklableError)
        assert (error.function, error.what) == ("lock_of", "its result")


@cpu
async def test_without_an_engine_a_call_has_a_process_of_its_own() -> None:
    async def work() -> None:
        pids.append(await current_step().to_process(crunching.pid))
        assert not is_alive(pids[0])
        with pytest.raises(ValueError, match="no"):
            await current_step().to_process(crunching.fail, "no")

    pids = list[int]()
    await doing(work, "work").run(Notes())
    assert pids[0] != os.getpid()


@cpu
async def test_a_worker_that_does_not_end_is_killed_after_the_grace_and_that_is_told() -> None:
    async def work() -> None:
        pids.append(await current_step().to_process(crunching.linger))

    async def leave(error: Exception | None) -> None:
        async with Engine(cleanup_grace=0.05) as engine:
            await engine.run(doing(work, "work"), Notes())
            if error is not None:
                raise error

    pids = list[int]()
    with pytest.raises(WorkerDiedError, match="an idle worker process died"):
        await leave(None)
    with pytest.raises(OSError, match="leave") as caught:
        await leave(OSError("leave"))
    (note,) = caught.value.__notes__
    assert note.startswith("and an idle worker process died")
    assert [is_alive(pid) for pid in pids] == [False, False]


# ---------------------------------------------------------------- what does not even begin


@cpu
@pytest.mark.parametrize(
    ("work", "function", "what"),
    [
        (
            lambda: current_step().to_process(lambda: 3),
            "<lambda>.<locals>.<lambda>",
            "the function",
        ),
        (
            lambda: current_step().to_process(crunching.lock_of, threading.Lock()),
            "lock_of",
            "argument 1",
        ),
    ],
    ids=["function", "argument"],
)
async def test_what_pickle_cannot_pass_is_named_with_a_remedy(
    work: Callable[[], Awaitable[object]], function: str, what: str
) -> None:
    async with Engine() as engine:
        error = await only_failure(engine, work)
    assert isinstance(error, NotPicklableError)
    assert (error.function, error.what) == (function, what)
    assert error.__cause__ is not None
    assert error.reason == f"{type(error.__cause__).__name__}: {error.__cause__}"
    assert "call a function of a module" in str(error)


def test_a_function_that_stands_in_no_module_the_worker_could_import_is_named() -> None:
    """What a worker says of a function that was typed in, or given by ``python -c``."""
    said = "Can't get attribute 'square' on <module '__main__' (built-in)>"
    assert not_picklable(crunching.square, (3,), AttributeError(said)) == "the function"


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agentflow_trio.engine.cpu", raising=False)
    monkeypatch.setitem(sys.modules, "trio_parallel", None)
    async with Engine() as engine:
        error = await only_failure(
            engine, lambda: current_step().to_process(crunching.square, 3)
        )
    assert isinstance(error, ExtraMissingError)
    assert (error.what, error.extra) == ("to_process()", "cpu")
    alone = doing(lambda: current_step().to_process(crunching.square, 3), "work")
    with pytest.raises(FlowFailedError) as caught:
        await alone.run(Notes())
    assert isinstance(caught.value.only(), ExtraMissingError)


async def test_another_missing_module_is_not_taken_for_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "agentflow_trio.engine.cpu", None)
    async with Engine() as engine:
        error = await only_failure(
            engine, lambda: current_step().to_process(crunching.square, 3)
        )
    assert type(error) is ModuleNotFoundError


# ---------------------------------------------------------------- in simulations


def test_a_simulation_calls_in_place_on_copies_and_no_time_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "agentflow_trio.engine.cpu", None)  # no extra is needed
    numbers = [1, 2, 3]

    async def work() -> None:
        here = current_step()
        seen.append(await here.to_process(crunching.pid))
        seen.append(await here.to_process(crunching.grow, numbers))

    seen = list[int]()
    with simulate(chain("f", doing(work, "work")), Notes()) as sim:
        sim.run()
        assert sim.time == 0.0
    assert seen == [os.getpid(), 10]
    assert numbers == [1, 2, 3]


@pytest.mark.parametrize(
    ("work", "what"),
    [
        (lambda: current_step().to_process(lambda: 3), "the function"),
        (lambda: current_step().to_process(crunching.lock_of, threading.Lock()), "argument 1"),
        (lambda: current_step().to_process(crunching.lock_of, 3), "its result"),
        (lambda: current_step().to_process(crunching.inner_of, 3), "its result"),
    ],
    ids=["function", "argument", "result", "inner function"],
)
def test_a_simulation_finds_what_pickle_could_not_pass(
    work: Callable[[], Awaitable[object]], what: str
) -> None:
    with (
        simulate(chain("f", doing(work, "work")), Notes()) as sim,
        pytest.raises(FlowFailedError) as caught,
    ):
        sim.run()
    error = caught.value.only()
    assert isinstance(error, NotPicklableError)
    assert error.what == what


def test_an_error_of_the_function_itself_comes_out_of_a_simulation_as_it_is() -> None:
    work = doing(lambda: current_step().to_process(crunching.type_error), "work")
    with simulate(chain("f", work), Notes()) as sim, pytest.raises(FlowFailedError) as caught:
        sim.run()
    assert str(caught.value.only()) == "cannot add"
