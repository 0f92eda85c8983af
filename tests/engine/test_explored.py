"""What an engine promises holds in whatever order its tasks go on."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import get_args

import pytest
import trio

from agentflow_trio import (
    CancelReport,
    Engine,
    FlowFailedError,
    RunCancelledError,
    Step,
    Stream,
    StreamReader,
    Subscription,
    TooManyRunsError,
    current_step,
)
from agentflow_trio.testing import Faults, Policy, assert_no_leaks, error_rate, explore

from .engine_kit import Acts, Notes, Recorder, chain, doing, failing, saying, sleeping, told

TOKENS = Stream("tokens", int)
EACH_POLICY = pytest.mark.parametrize("policy", get_args(Policy))


@EACH_POLICY
def test_every_subscriber_is_told_the_same(policy: Policy) -> None:
    async def program() -> list[list[str]]:
        row = chain("f", saying("a"), sleeping(1, "b"), saying("c"))
        heard: list[list[str]] = [[], [], []]
        with assert_no_leaks():
            async with Engine() as engine, engine.start(row, Notes()) as run:
                async with trio.open_nursery() as nursery:
                    for lines in heard:
                        nursery.start_soon(listen, run.events(), lines)
                await run.result()
        return heard

    async def listen(events: Subscription, lines: list[str]) -> None:
        lines += told([event async for event in events])

    def check(heard: list[list[str]]) -> None:
        assert heard[0] == heard[1] == heard[2]
        assert len(heard[0]) > 5

    explore(program, check=check, seeds=40, policy=policy).raise_on_failure()


@EACH_POLICY
def test_a_run_is_cancelled_or_ends_and_never_both(policy: Policy) -> None:
    async def program() -> tuple[CancelReport, Exception | None, Notes]:
        row = chain("f", sleeping(1, "a"), saying("b"))
        caught: Exception | None = None
        with assert_no_leaks():
            async with Engine() as engine:
                async with engine.start(row, Notes()) as run:
                    await trio.sleep(1)
                    report = await run.cancel("at the very moment it ends")
                    try:
                        await run.result()
                    except RunCancelledError as error:
                        caught = error
                return report, caught, run.state

    def check(ended: tuple[CancelReport, Exception | None, Notes]) -> None:
        report, caught, state = ended
        if caught is None:
            assert report.cut_off == ()
            assert state.log == ["a", "b"]
        else:
            assert len(report.cut_off) <= 1
            assert state.log != ["a", "b"]

    explore(program, check=check, seeds=60, policy=policy).raise_on_failure()


def test_no_more_runs_than_allowed_go_on_at_once() -> None:
    async def program() -> Counter[str]:
        ended: Counter[str] = Counter()
        now = most = 0

        async def work() -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await trio.lowlevel.checkpoint()
            now -= 1

        async def one(engine: Engine) -> None:
            try:
                await engine.run(chain("f", doing(work, "a")), Notes())
                ended["ran"] += 1
            except TooManyRunsError:
                ended["refused"] += 1

        with assert_no_leaks():
            async with Engine(max_runs=2) as engine, trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(one, engine)
        ended["most"] = most
        return ended

    def check(ended: Counter[str]) -> None:
        assert ended["ran"] + ended["refused"] == 5
        assert 1 <= ended["most"] <= 2

    explore(program, check=check, seeds=60).raise_on_failure()


def test_leaving_an_engine_by_an_error_ends_every_run_and_runs_every_cleanup() -> None:
    async def program() -> tuple[int, int]:
        opened = closed = 0

        async def close() -> None:
            nonlocal closed
            await trio.lowlevel.checkpoint()
            closed += 1

        async def work() -> None:
            nonlocal opened
            current_step().on_cleanup(close)
            opened += 1
            await trio.sleep(1)

        async def one(engine: Engine) -> None:
            async with engine.start(chain("f", doing(work, "a"), doing(work, "b")), Notes()):
                pass

        async def fail() -> None:
            await trio.sleep(1)
            raise KeyError

        with assert_no_leaks():
            try:
                async with Engine() as engine, trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(one, engine)
                    await fail()
            except* (KeyError, RunCancelledError):
                pass
        return opened, closed

    def check(counts: tuple[int, int]) -> None:
        assert counts[0] == counts[1]

    explore(program, check=check, seeds=60).raise_on_failure()


def test_chunks_reach_every_reader_in_order() -> None:
    async def program() -> list[list[int]]:
        async def emit() -> None:
            for number in range(20):
                await current_step().emit(TOKENS, number)

        async def read(chunks: StreamReader[int], into: list[int]) -> None:
            into += [chunk async for chunk in chunks]

        got: list[list[int]] = [[], []]
        with assert_no_leaks():
            async with (
                Engine() as engine,
                engine.start(chain("f", doing(emit, "a")), Notes()) as run,
                trio.open_nursery() as nursery,
            ):
                for into in got:
                    nursery.start_soon(read, run.stream(TOKENS), into)
        return got

    def check(got: list[list[int]]) -> None:
        assert got == [list(range(20))] * 2

    explore(program, check=check, seeds=60).raise_on_failure()


def test_the_failure_of_one_run_leaves_the_others_alone() -> None:
    async def program() -> list[str]:
        ended: list[str] = []
        bad = chain("bad", sleeping(1, "a"), failing(ValueError(), "b"))
        good = chain("good", sleeping(1, "a"), sleeping(1, "b"))

        async def one(engine: Engine, name: str) -> None:
            try:
                async with engine.start(bad if name == "bad" else good, Notes()) as run:
                    await run.result()
                ended.append(f"{name} {trio.current_time()}")
            except FlowFailedError:
                ended.append("bad failed")

        with assert_no_leaks():
            async with Engine() as engine, trio.open_nursery() as nursery:
                for name in ("good", "bad", "good"):
                    nursery.start_soon(one, engine, name)
        return ended

    def check(ended: list[str]) -> None:
        assert sorted(ended) == ["bad failed", "good 2.0", "good 2.0"]

    explore(program, check=check, seeds=60).raise_on_failure()


def test_every_failure_of_a_faulty_step_is_in_the_report() -> None:
    row = chain("f", Step(Acts(), name="model"), saying("b"))

    async def program() -> list[str]:
        recorder = Recorder()
        async with Engine(observers=[recorder]) as engine:
            for _ in range(10):
                with suppress(FlowFailedError):
                    await engine.run(row, Notes())
        return recorder.lines()

    def check(lines: list[str]) -> None:
        begun = [line for line in lines if line == "node_start f/model"]
        failed = [line for line in lines if line.startswith("node_error f/model")]
        went_on = [line for line in lines if line == "node_start f/b"]
        assert len(begun) == len(failed) + len(went_on) == 10
        assert all("error=InjectedError" in line for line in failed)

    faults = Faults(model=error_rate(0.5))
    explore(program, check=check, faults=faults, seeds=20).raise_on_failure()
