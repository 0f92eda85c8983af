"""`assert_no_leaks` names everything that began in its body and is still there."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.lowlevel import Task, current_root_task

from agentflow_trio.testing import LeakError, assert_no_leaks


async def test_a_body_that_leaves_nothing_passes() -> None:
    limiter, lock = trio.CapacityLimiter(2), trio.Lock()
    with assert_no_leaks(limiter, lock):
        async with limiter, lock:
            await trio.to_thread.run_sync(int)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0)


async def test_a_task_that_lives_on_is_named() -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(LeakError) as caught, assert_no_leaks():
            nursery.start_soon(trio.sleep_forever, name="left behind")
        assert caught.value.leaks == ("task left behind is alive",)
        assert str(caught.value) == "task left behind is alive"
        nursery.cancel_scope.cancel()


async def test_a_task_that_was_there_before_is_no_leak() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        with assert_no_leaks():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_a_thread_that_works_on_is_told_with_its_task_and_its_token() -> None:
    go_on = threading.Event()

    async def work() -> None:
        await trio.to_thread.run_sync(go_on.wait, 5)

    async def leave(nursery: trio.Nursery) -> None:
        with assert_no_leaks():
            nursery.start_soon(work)
            await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        with pytest.raises(LeakError) as caught:
            await leave(nursery)
        go_on.set()
    assert caught.value.leaks == (
        "task work is alive",
        "1 more at work in threads",
        "CapacityLimiter: borrowed_tokens was 0, is 1",
    )


async def test_a_thread_that_was_abandoned_is_told_by_its_token() -> None:
    go_on = threading.Event()
    with pytest.raises(LeakError) as caught, assert_no_leaks():
        with trio.move_on_after(0.01):
            await trio.to_thread.run_sync(go_on.wait, 5, abandon_on_cancel=True)
    go_on.set()
    assert caught.value.leaks == ("CapacityLimiter: borrowed_tokens was 0, is 1",)
    limiter = trio.to_thread.current_default_thread_limiter()
    with trio.fail_after(5):
        while limiter.borrowed_tokens:  # noqa: ASYNC110 - a thread ends
            await trio.sleep(0.001)


async def test_what_is_held_is_named_with_what_it_is() -> None:
    limiter, lock, condition = trio.CapacityLimiter(2), trio.Lock(), trio.Condition()
    semaphore = trio.Semaphore(2)
    send, receive = trio.open_memory_channel[int](3)
    clones: list[trio.MemorySendChannel[int]] = []

    async def hold() -> None:
        with assert_no_leaks(limiter, semaphore, lock, condition, send):
            await limiter.acquire()
            await semaphore.acquire()
            await lock.acquire()
            await condition.acquire()
            await send.send(1)
            clones.append(send.clone())

    with pytest.raises(LeakError) as caught:
        await hold()
    assert caught.value.leaks == (
        "CapacityLimiter: borrowed_tokens was 0, is 1",
        "Semaphore: value was 2, is 1",
        "Lock: locked was 0, is 1",
        "Condition: locked was 0, is 1",
        "MemorySendChannel: current_buffer_used was 0, is 1",
        "MemorySendChannel: open_send_channels was 1, is 2",
    )
    for thing in (limiter, semaphore, lock, condition):
        thing.release()
    receive.close()
    for end in (*clones, send):
        end.close()


async def test_somebody_who_waits_is_a_leak() -> None:
    lock = trio.Lock()
    await lock.acquire()

    async def queue_up(nursery: trio.Nursery) -> None:
        with assert_no_leaks(lock):
            nursery.start_soon(lock.acquire)
            await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        with pytest.raises(LeakError) as caught:
            await queue_up(nursery)
        assert caught.value.leaks == (
            "task acquire is alive",
            "Lock: tasks_waiting was 0, is 1",
        )
        nursery.cancel_scope.cancel()
    lock.release()


async def test_what_is_given_back_or_closed_in_the_body_is_no_leak() -> None:
    limiter, semaphore = trio.CapacityLimiter(2), trio.Semaphore(1)
    send, receive = trio.open_memory_channel[int](1)
    await limiter.acquire()
    await semaphore.acquire()
    await send.send(1)
    with assert_no_leaks(limiter, semaphore, send, receive):
        limiter.release()
        semaphore.release()
        assert await receive.receive() == 1
        send.close()
        receive.close()


async def test_a_body_that_is_cancelled_is_looked_at_too() -> None:
    limiter = trio.CapacityLimiter(1)

    async def take_and_wait() -> None:
        with trio.CancelScope() as scope, assert_no_leaks(limiter):
            await limiter.acquire()
            scope.cancel()
            await trio.sleep_forever()

    with pytest.raises(LeakError, match="borrowed_tokens") as caught:
        await take_and_wait()
    assert isinstance(caught.value.__context__, trio.Cancelled)
    limiter.release()
    with trio.CancelScope() as scope, assert_no_leaks(limiter):
        async with limiter:
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_error_of_a_body_that_leaves_nothing_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="its own"), assert_no_leaks():
        raise ValueError("its own")


async def test_anything_with_statistics_can_be_given() -> None:
    class Told:
        def __init__(self) -> None:
            self.in_use = 0

    class Pool:
        def __init__(self) -> None:
            self.told = Told()

        def statistics(self) -> Told:
            return self.told

    pool = Pool()
    with pytest.raises(LeakError, match=r"^Pool: in_use was 0, is 3$"), assert_no_leaks(pool):
        pool.told.in_use = 3


def test_it_belongs_in_a_run_of_trio() -> None:
    with pytest.raises(RuntimeError, match="outside of a run"), assert_no_leaks():
        pass


async def test_it_looks_at_every_task_of_the_run() -> None:
    def is_alive(task: Task) -> bool:
        root = current_root_task()
        nurseries = [] if root is None else root.child_nurseries
        return any(task in nursery.child_tasks for nursery in nurseries)

    with pytest.raises(LeakError, match="task ticker is alive"), assert_no_leaks():
        task = trio.lowlevel.spawn_system_task(trio.sleep, 0.01, name="ticker")
    with trio.fail_after(5):
        while is_alive(task):  # noqa: ASYNC110 - a task ends
            await trio.sleep(0.01)
