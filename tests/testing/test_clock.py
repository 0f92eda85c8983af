"""Virtual time: exact, free of charge, and never ahead of what comes from threads and from outside."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from agentflow_trio.testing import (
    Control,
    DeadlockError,
    Program,
    explore,
    record,
    simulate,
)
from agentflow_trio.testing._clock import EPOCH, SimulatedClock


def result_of(program: Program[object], control: Control = "order") -> object:
    """What *program* returns in virtual time."""
    with simulate(program, control=control) as sim:
        sim.run()
        return sim.result


# ---------------------------------------------------------------- exact times


@pytest.mark.parametrize("control", ["order", "time"])
def test_timers_fire_at_exactly_their_time(control: Control) -> None:
    async def program() -> list[float]:
        times: list[float] = []
        for delay in (0.1, 0.2, 1e-9, 86_400.0):
            await trio.sleep(delay)
            times.append(trio.current_time())
        return times

    assert result_of(program, control) == [
        0.1,
        0.1 + 0.2,
        0.1 + 0.2 + 1e-9,
        0.1 + 0.2 + 1e-9 + 86_400.0,
    ]


def test_a_limit_ends_a_wait_at_exactly_its_time() -> None:
    async def program() -> tuple[bool, float]:
        with trio.move_on_after(2.5) as scope:
            await trio.sleep(10)
        return scope.cancelled_caught, trio.current_time()

    assert result_of(program) == (True, 2.5)


def test_a_day_takes_no_time() -> None:
    began = time.monotonic()

    async def program() -> float:
        await trio.sleep(86_400)
        return trio.current_time()

    assert result_of(program) == 86_400.0
    assert time.monotonic() - began < 5


def test_computing_takes_no_virtual_time() -> None:
    async def program() -> float:
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        return trio.current_time()

    assert result_of(program) == 0.0


def test_a_time_that_is_no_float_becomes_one() -> None:
    async def program() -> None:
        await trio.sleep(10)

    with simulate(program) as sim:
        sim.run_until(2)
        assert repr(sim.time) == "2.0"


def test_the_time_of_day_begins_at_the_turn_of_the_millennium() -> None:
    assert time.gmtime(EPOCH)[:6] == (2000, 1, 1, 0, 0, 0)

    async def program() -> float:
        await trio.sleep(2.5)
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, SimulatedClock)
        return clock.now()

    assert result_of(program) == EPOCH + 2.5


# ---------------------------------------------------------------- near-ties


async def tens_and_one() -> list[str]:
    """Ten times 0.1 s meet 1.0 s, but for a rounding error."""
    order: list[str] = []

    async def tens() -> None:
        for _ in range(10):
            await trio.sleep(0.1)
        order.append("tens")

    async def one() -> None:
        await trio.sleep(1.0)
        order.append("one")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tens)
        nursery.start_soon(one)
    return order


def test_timers_that_are_almost_due_together_race_in_explore() -> None:
    orders: list[list[str]] = []
    explore(tens_and_one, seeds=60, check=orders.append)
    assert ["one", "tens"] in orders
    assert ["tens", "one"] in orders


def test_they_never_race_in_simulate() -> None:
    for seed in range(20):
        with simulate(tens_and_one, seed=seed) as sim:
            sim.run()
            assert sim.result == ["tens", "one"]
            assert sim.time == 1.0


def test_timers_further_apart_never_race() -> None:
    async def program() -> list[str]:
        order: list[str] = []

        async def after(delay: float, name: str) -> None:
            await trio.sleep(delay)
            order.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(after, 1.0, "first")
            nursery.start_soon(after, 1.00001, "second")
        return order

    def in_order(order: list[str]) -> None:
        assert order == ["first", "second"]

    explore(program, seeds=60, check=in_order).raise_on_failure()


# ---------------------------------------------------------------- threads


def test_a_limit_of_a_minute_does_not_run_out_while_a_thread_works() -> None:
    async def program() -> tuple[str, float]:
        with trio.fail_after(60):
            await trio.to_thread.run_sync(time.sleep, 0.05)
        return "done", trio.current_time()

    assert result_of(program) == ("done", 0.0)
    assert result_of(program, "time") == ("done", 0.0)


def test_timers_wait_for_each_of_two_threads() -> None:
    async def program() -> list[tuple[str, float]]:
        done: list[tuple[str, float]] = []

        async def work(real: float) -> None:
            await trio.to_thread.run_sync(time.sleep, real)
            done.append((f"thread {real}", trio.current_time()))

        async def nap() -> None:
            await trio.sleep(30)
            done.append(("nap", trio.current_time()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap)
            nursery.start_soon(work, 0.01)
            nursery.start_soon(work, 0.05)
        return done

    done = record(program).result
    assert done in (
        [("thread 0.01", 0.0), ("thread 0.05", 0.0), ("nap", 30.0)],
        [("thread 0.05", 0.0), ("thread 0.01", 0.0), ("nap", 30.0)],
    )


def test_a_thread_may_itself_wait_in_virtual_time() -> None:
    async def program() -> float:
        def work() -> float:
            trio.from_thread.run(trio.sleep, 30)
            trio.from_thread.run(trio.sleep, 0.5)
            return trio.from_thread.run_sync(trio.current_time)

        with trio.fail_after(60):
            return await trio.to_thread.run_sync(work)

    assert result_of(program) == 30.5
    assert result_of(program, "time") == 30.5


def test_a_thread_that_may_be_abandoned_may_wait_in_virtual_time_too() -> None:
    async def program() -> float:
        def work() -> float:
            trio.from_thread.run(trio.sleep, 30)
            return trio.from_thread.run_sync(trio.current_time)

        return await trio.to_thread.run_sync(work, abandon_on_cancel=True)

    assert result_of(program) == 30.0


def test_an_abandoned_thread_holds_time_up_no_longer() -> None:
    go_on = threading.Event()

    async def program() -> float:
        async def work() -> None:
            await trio.to_thread.run_sync(go_on.wait, 5, abandon_on_cancel=True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await trio.sleep(3)
        go_on.set()
        return trio.current_time()

    assert result_of(program) == 3.0


def test_functions_named_like_those_of_trio_hold_time_up_neither_more_nor_less() -> None:
    async def run_system() -> None:
        await trio.sleep(10)

    async def to_thread_run_sync() -> float:
        await trio.to_thread.run_sync(time.sleep, 0.02)
        return trio.current_time()

    async def program() -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_system)
            return await to_thread_run_sync()
        raise AssertionError

    assert result_of(program) == 0.0


def test_settling_waits_for_threads_that_work() -> None:
    async def program() -> str:
        await trio.to_thread.run_sync(time.sleep, 0.03)
        return "done"

    with simulate(program) as sim:
        sim.settle()
        assert sim.ended
        assert sim.result == "done"


# ---------------------------------------------------------------- what comes from outside


@pytest.mark.parametrize("idempotent", [False, True])
def test_what_is_to_run_soon_runs_before_time_goes_on(idempotent: bool) -> None:
    async def program() -> float:
        event = trio.Event()
        times: list[float] = []

        async def waiter() -> None:
            await event.wait()
            times.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            await trio.sleep(1)
            trio.lowlevel.current_trio_token().run_sync_soon(event.set, idempotent=idempotent)
            await trio.sleep(10)
        return times[0]

    assert result_of(program) == 1.0
    assert result_of(program, "time") == 1.0


def test_what_plain_code_sends_while_time_stands_still_runs_then() -> None:
    tokens: list[trio.lowlevel.TrioToken] = []
    event = trio.Event()

    async def program() -> float:
        tokens.append(trio.lowlevel.current_trio_token())

        async def nap() -> None:
            await trio.sleep(100)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap)
            await event.wait()
            nursery.cancel_scope.cancel()
        return trio.current_time()

    with simulate(program) as sim:
        sim.run_until(3)
        tokens[0].run_sync_soon(event.set)
        sim.settle()
        assert sim.ended
        assert sim.result == 3.0


def test_memory_streams_and_loopback_sockets_work() -> None:
    async def echo(stream: trio.abc.Stream) -> None:
        async with stream:
            async for data in stream:
                await stream.send_all(data)

    async def talk(stream: trio.abc.Stream) -> bytes:
        got = b""
        for letter in (b"a", b"b", b"c"):
            await stream.send_all(letter)
            await trio.sleep(1)
            got += await stream.receive_some(1)
        await stream.aclose()
        return got

    async def in_memory() -> tuple[bytes, float]:
        mine, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, theirs)
            got = await talk(mine)
        return got, trio.current_time()

    async def over_loopback() -> tuple[bytes, float]:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port: int = listener.socket.getsockname()[1]
        async with trio.open_nursery() as nursery, listener:
            mine = await trio.open_tcp_stream("127.0.0.1", port)
            nursery.start_soon(echo, await listener.accept())
            got = await talk(mine)
        return got, trio.current_time()

    assert result_of(in_memory) == (b"abc", 3.0)
    assert result_of(over_loopback) == (b"abc", 3.0)
    assert result_of(over_loopback, "time") == (b"abc", 3.0)


def test_what_a_child_process_says_is_waited_for_however_often() -> None:
    lines = "import time\nfor i in range(8):\n    time.sleep(0.01)\n    print(i, flush=True)"

    async def program() -> bytes:
        done = await trio.run_process([sys.executable, "-c", lines], capture_stdout=True)
        return bytes(done.stdout or b"")

    assert result_of(program) == b"0\n1\n2\n3\n4\n5\n6\n7\n"


def test_a_wait_for_a_socket_on_which_nothing_comes_is_a_deadlock_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentflow_trio.testing._clock._PATIENCE", 0.05)

    async def program() -> None:
        mine, theirs = trio.socket.socketpair()
        with mine, theirs:
            await mine.recv(1)

    with simulate(program) as sim, pytest.raises(DeadlockError) as caught:
        sim.run()
    assert caught.value.time == 0.0


# ---------------------------------------------------------------- until all is calm


@pytest.mark.parametrize("control", ["order", "shuffle", "time"])
def test_waiting_until_all_others_are_blocked_takes_no_virtual_time(control: Control) -> None:
    async def program() -> tuple[int, float]:
        count = 0

        async def work() -> None:
            nonlocal count
            for _ in range(20):
                await trio.lowlevel.checkpoint()
                count += 1
            await trio.sleep(7)
            count += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await wait_all_tasks_blocked()
            calm = count, trio.current_time()
            nursery.cancel_scope.cancel()
        return calm

    assert result_of(program, control) == (20, 0.0)


def test_it_ends_also_where_no_timer_is_set() -> None:
    async def program() -> float:
        await wait_all_tasks_blocked()
        return trio.current_time()

    assert result_of(program) == 0.0


def test_who_keeps_state_for_a_run_is_told_when_an_execution_is_over() -> None:
    left: list[int] = []

    async def program() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, SimulatedClock)
        number = len(left)
        assert left == list(range(number))
        clock.when_over(lambda: left.append(number))

    explore(program, seeds=3).raise_on_failure()
    assert left == [0, 1]
