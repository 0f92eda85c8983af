"""What other rate limiters have got wrong, each as a promise."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from random import Random
from types import FrameType
from typing import Final, TypeVarTuple

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agentflow_trio.errors import RateLimitedError
from agentflow_trio.robustness._limiter import RateLimiter
from agentflow_trio.robustness._limiter_core import LimiterCore, Waiter
from agentflow_trio.robustness._limiter_policy import TokenBucketPolicy, WindowPolicy
from agentflow_trio.robustness._window_core import Window

Arguments = TypeVarTuple("Arguments")

RANDOM: Final = Random(7)
MILLISECONDS: Final = [
    (RANDOM.randrange(1, 10_000) / 1000, RANDOM.randrange(1, 1000) / 1000) for _ in range(300)
]


async def test_never_twice_the_limit_around_the_edge_of_a_window(
    autojump_clock: MockClock,
) -> None:
    """Windows that begin at full seconds would let five begin at 0.9 and five at 1.0."""
    limiter = RateLimiter("x", limit=5, window=1.0)
    begun: list[float] = []
    await trio.sleep(0.9)
    for _ in range(15):
        await limiter.acquire()
        begun.append(trio.current_time())
    assert begun == [0.9] * 5 + [1.9] * 5 + [2.9] * 5


async def test_waiting_ends_for_every_pair_of_milliseconds(autojump_clock: MockClock) -> None:
    """For half of them (5.3 and 0.3) the time since the admission is below the window when it is over."""
    for at, window in MILLISECONDS:
        limiter = RateLimiter("x", limit=1, window=window)
        now = math.ceil(trio.current_time()) + at
        await trio.sleep_until(now)
        limiter.acquire_nowait()
        await limiter.acquire()
        assert trio.current_time() == now + window
    assert any((at + window) - at < window for at, window in MILLISECONDS)


async def test_retry_after_is_enough_for_every_pair_of_milliseconds(
    autojump_clock: MockClock,
) -> None:
    for at, window in MILLISECONDS:
        limiter = RateLimiter("x", limit=1, window=window)
        await trio.sleep_until(math.ceil(trio.current_time()) + at)
        limiter.acquire_nowait()
        await trio.sleep(window / 3)
        with pytest.raises(RateLimitedError) as caught:
            limiter.acquire_nowait()
        assert caught.value.retry_after is not None
        await trio.sleep(caught.value.retry_after)
        limiter.acquire_nowait()


async def test_a_large_request_is_not_starved_by_small_ones(autojump_clock: MockClock) -> None:
    for policy in (WindowPolicy(limit=4, window=1.0), TokenBucketPolicy(limit=4, window=1.0)):
        limiter = RateLimiter("x", policy)
        start = trio.current_time()
        limiter.acquire_nowait(4)
        begun: list[tuple[int, float]] = []

        async def enter(
            weight: int,
            limiter: RateLimiter = limiter,
            begun: list[tuple[int, float]] = begun,
            start: float = start,
        ) -> None:
            async with limiter.weighing(weight):
                begun.append((weight, trio.current_time() - start))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter, 4)
            await wait_all_tasks_blocked()
            for _ in range(12):
                nursery.start_soon(enter, 1)
                await trio.sleep(0.0625)
        assert begun[0] == (4, 1.0)
        assert len(begun) == 13


async def test_time_is_that_of_trio(autojump_clock: MockClock) -> None:
    """A hundred virtual seconds pass in no time at all."""
    limiter = RateLimiter("x", limit=1, window=100.0)
    limiter.acquire_nowait()
    await trio.sleep(100.0)
    limiter.acquire_nowait()


async def test_cancelled_waiters_take_no_throughput(autojump_clock: MockClock) -> None:
    """Reservations that stay behind would push everybody further and further back."""
    limiter = RateLimiter("x", limit=1, window=1.0)
    limiter.acquire_nowait()
    for _ in range(100):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(limiter.acquire)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    await limiter.acquire()
    assert trio.current_time() == 1.0


async def test_the_baton_is_passed_on_by_one_who_is_cancelled_as_he_gets_it(
    autojump_clock: MockClock,
) -> None:
    """The first is served and wakes the second, who is cancelled before it can look: the third must not sleep on."""
    limiter = RateLimiter("x", limit=1, window=1.0)
    limiter.acquire_nowait()
    second = trio.CancelScope()
    begun: list[tuple[str, float]] = []

    async def first() -> None:
        await limiter.acquire()
        second.cancel()

    async def enter(name: str, scope: trio.CancelScope) -> None:
        with scope:
            await limiter.acquire()
            begun.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        nursery.start_soon(enter, "second", second)
        await wait_all_tasks_blocked()
        nursery.start_soon(enter, "third", trio.CancelScope())
    assert begun == [("third", 2.0)]


async def test_a_rejected_request_is_not_counted(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=3, window=1.0)
    limiter.acquire_nowait(2)
    with pytest.raises(RateLimitedError):
        limiter.acquire_nowait(2)
    limiter.acquire_nowait(1)


# ---------------------------------------------------------------- what a call costs


def calls(act: Callable[[*Arguments], object], *arguments: *Arguments) -> int:
    """Return how many functions are called, those in C included."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        act(*arguments)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("limit", [10, 1_000, 100_000])
@pytest.mark.parametrize("first", [1, 2], ids=["ones", "weights"])
def test_no_single_call_takes_long_however_many_expire_at_once(limit: int, first: int) -> None:
    window = Window(limit, 1.0)
    assert window.admit(first, -5.0)
    for _ in range(limit):
        assert window.admit(1, 0.0)
    assert calls(window.admit, 1, 0.5) <= 20
    assert calls(window.fork) <= 20
    assert calls(window.fork().admit, limit, 1.0) <= 60
    assert calls(window.free, 1.0) <= 40
    assert max(calls(window.admit, 1, 2.0) for _ in range(limit)) <= 60
    assert calls(window.admit, limit, 3.0) <= 60


def test_what_expired_is_let_go_though_nobody_needs_the_room() -> None:
    window = Window(1_000_000_000, 1.0)
    for second in range(100_000):
        assert window.admit(1 + second % 2, float(second))
    assert sum(len(block.expiries) for block in window._blocks) < 3 * 1024


def test_late_clocks_do_not_make_every_arrival_look_at_the_whole_line() -> None:
    """With a real clock everybody is served a little late; what is foretold is made anew when the line has moved on once."""
    core: LimiterCore[Waiter] = LimiterCore(Window(10, 1.0))
    assert core.admit(10, 0.0)
    for _ in range(1_000):
        assert core.join(Waiter(1, 0.0), 0.0) is None
    now, made = 0.0, list[int]()
    for window in range(150):
        now += 1.001
        for _ in range(10):
            head = core.head
            assert head is not None
            assert core.serve(head, now) <= now
        for _ in range(10):
            cost = calls(core.join, Waiter(1, now, latest=1e9), now)
            if cost > 5_000:  # five for each that waits
                made.append(window)
    assert made == [0, 100]
    assert core.statistics(now).waiting == 1_000
    # 99 windows after the next, which begins a window after now; too early by the lateness since.
    assert now + 100.0 <= core.due(1, now) + 49 * 0.001
    assert core.due(1, now) <= now + 101.0
