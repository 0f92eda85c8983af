"""A rate limiter lets bodies begin no faster than agreed, in the order in which they came, at exact instants."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agentflow_trio.errors import GuardInUseError, RateLimitedError
from agentflow_trio.robustness._events import (
    CallRejected,
    GuardEvent,
    LimitChanged,
    WaitEnded,
    WaitStarted,
)
from agentflow_trio.robustness._limiter import RateLimiter
from agentflow_trio.robustness._limiter_core import RateLimiterStatistics
from agentflow_trio.robustness._limiter_policy import Rate, TokenBucketPolicy, WindowPolicy


@attrs.define
class Log:
    """Who began when."""

    limiter: RateLimiter
    begun: list[tuple[str, float]] = attrs.field(factory=list[tuple[str, float]])
    refused: list[tuple[str, float, RateLimitedError]] = attrs.field(
        factory=list[tuple[str, float, RateLimitedError]]
    )

    async def enter(self, name: str, weight: int = 1, max_wait: float | None = None) -> None:
        try:
            async with self.limiter.weighing(weight, max_wait=max_wait):
                self.begun.append((name, trio.current_time()))
        except RateLimitedError as error:
            self.refused.append((name, trio.current_time(), error))

    async def come(
        self, nursery: trio.Nursery, name: str, weight: int = 1, max_wait: float | None = None
    ) -> None:
        """Come after everybody who is here already."""
        nursery.start_soon(self.enter, name, weight, max_wait)
        await wait_all_tasks_blocked()

    def reasons(self) -> list[tuple[str, float, str, float | None]]:
        return [(name, at, e.reason, e.retry_after) for name, at, e in self.refused]


async def take(limiter: RateLimiter, times: int, weight: int = 1) -> None:
    for _ in range(times):
        limiter.acquire_nowait(weight)


# ---------------------------------------------------------------- the seed's figure


@pytest.mark.parametrize(
    ("edge", "admitted"),
    [
        # The figure: at 1000 ms the request of 0 ms still counts.
        ("closed", [True, True, True, True, True, False, True]),
        # The code of the seed keeps what is younger than the window.
        ("open", [True, True, True, True, True, True, True]),
    ],
)
async def test_the_timeline_of_the_seed(
    edge: Any, admitted: list[bool], autojump_clock: MockClock
) -> None:
    limiter = RateLimiter("seed", WindowPolicy(limit=5, window=1.0, edge=edge))
    found: list[bool] = []
    for instant in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2):
        await trio.sleep_until(instant)
        try:
            limiter.acquire_nowait()
            found.append(True)
        except RateLimitedError:
            found.append(False)
    assert found == admitted


async def test_a_closed_edge_admits_right_after_the_window(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", WindowPolicy(limit=1, window=1.0, edge="closed"))
    limiter.acquire_nowait()
    async with limiter:
        assert trio.current_time() == math.nextafter(1.0, 2.0)


# ---------------------------------------------------------------- waiting


async def test_everybody_begins_exactly_when_there_is_room(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", limit=2, window=0.3))
    await trio.sleep(5.3)
    async with trio.open_nursery() as nursery:
        for name in "abcdefg":
            await log.come(nursery, name)
    one = 5.3 + 0.3
    two = one + 0.3
    three = two + 0.3
    assert log.begun == [
        ("a", 5.3),
        ("b", 5.3),
        ("c", one),
        ("d", one),
        ("e", two),
        ("f", two),
        ("g", three),
    ]


async def test_bodies_begin_in_the_order_of_arrival(autojump_clock: MockClock) -> None:
    """Though all may begin at one instant, and Trio runs tasks of one instant in any order."""
    log = Log(RateLimiter("x", limit=20, window=1.0))
    await take(log.limiter, 20)
    names = [str(number) for number in range(60)]
    async with trio.open_nursery() as nursery:
        for name in names:
            await log.come(nursery, name)
    assert [name for name, _ in log.begun] == names
    assert [at for _, at in log.begun] == [1.0] * 20 + [2.0] * 20 + [3.0] * 20


async def test_entering_is_a_checkpoint_whether_it_waits_or_not(
    autojump_clock: MockClock,
) -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    for _ in range(2):
        with trio.testing.assert_checkpoints():
            async with limiter:
                pass
    with trio.testing.assert_checkpoints():
        await limiter.acquire()
    assert trio.current_time() == 2.0


async def test_leaving_gives_nothing_back(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    with pytest.raises(KeyError):
        async with limiter:
            raise KeyError
    async with limiter.weighing(1):
        with trio.testing.assert_no_checkpoints():
            await limiter.__aexit__(None, None, None)
    assert trio.current_time() == 1.0


async def test_a_limiter_inside_its_own_body_counts_again(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    async with limiter, limiter:
        assert trio.current_time() == 1.0


async def test_a_function_is_called_within(autojump_clock: MockClock) -> None:
    async def when(offset: float) -> float:
        await trio.lowlevel.checkpoint()
        return trio.current_time() + offset

    limiter = RateLimiter("x", limit=1, window=1.0)
    assert await limiter.call(when, 0.5) == 0.5
    assert await limiter.call(when, 0.5) == 1.5
    assert await limiter.weighing(1).call(when, 0.5) == 2.5


async def test_many_may_be_inside_at_once(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=3, window=1.0)

    async def slow() -> None:
        async with limiter:
            await trio.sleep(10.0)

    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(slow)
    assert trio.current_time() == 11.0


# ---------------------------------------------------------------- weights


async def test_a_weight_takes_so_much_of_the_window(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=10, window=1.0)
    await limiter.acquire(6)
    await trio.sleep(0.25)
    await limiter.acquire(4)
    assert trio.current_time() == 0.25
    await limiter.acquire(7)
    assert trio.current_time() == 1.25
    assert limiter.statistics().free == 3


async def test_light_ones_do_not_pass_a_heavy_one(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", limit=4, window=1.0))
    await take(log.limiter, 2)
    await trio.sleep(0.5)
    await take(log.limiter, 1)
    async with trio.open_nursery() as nursery:
        await log.come(nursery, "heavy", 4)
        for name in "abc":
            await log.come(nursery, name)
    assert log.begun == [("heavy", 1.5), ("a", 2.5), ("b", 2.5), ("c", 2.5)]


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (0, "RateLimiter: weight must be a whole number >= 1, not 0"),
        (True, "RateLimiter: weight must be a whole number >= 1, not True"),
        (1.0, "RateLimiter: weight must be a whole number >= 1, not 1.0"),
        (6, "RateLimiter: weight must be <= 5, the most that 'x' ever admits, not 6"),
    ],
)
async def test_a_weight_that_makes_no_sense(weight: Any, text: str) -> None:
    limiter = RateLimiter("x", limit=5, window=1.0)
    with pytest.raises(ValueError) as caught:
        limiter.acquire_nowait(weight)
    assert str(caught.value) == text
    with pytest.raises(ValueError):
        await limiter.acquire(weight)
    assert limiter.statistics().admitted == 0


# ---------------------------------------------------------------- not waiting


async def test_without_waiting_it_is_now_or_never(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("search", limit=2, window=1.0)
    limiter.acquire_nowait()
    await trio.sleep(0.25)
    limiter.acquire_nowait()
    with pytest.raises(RateLimitedError) as caught:
        limiter.acquire_nowait()
    assert (caught.value.guard, caught.value.reason) == ("search", "full")
    assert caught.value.retry_after == 0.75
    assert str(caught.value) == "rate limiter 'search' has no room now; retry in 0.75 s"
    await trio.sleep(0.75)
    limiter.acquire_nowait()


async def test_who_does_not_wait_does_not_pass_the_line(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", limit=2, window=1.0))
    log.limiter.acquire_nowait()
    async with trio.open_nursery() as nursery:
        await log.come(nursery, "heavy", 2)
        with pytest.raises(RateLimitedError) as caught:
            log.limiter.acquire_nowait()  # there would be room for one
        assert caught.value.retry_after == 2.0
    assert log.begun == [("heavy", 1.0)]


async def test_a_refusal_consumes_nothing(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    limiter.acquire_nowait()
    for _ in range(100):
        with pytest.raises(RateLimitedError):
            limiter.acquire_nowait()
    await trio.sleep(1.0)
    limiter.acquire_nowait()


# ---------------------------------------------------------------- bounds of waiting


async def test_who_would_wait_too_long_is_refused_on_arrival(
    autojump_clock: MockClock,
) -> None:
    log = Log(RateLimiter("x", WindowPolicy(limit=1, window=1.0, max_wait=2.5)))
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            await log.come(nursery, name)
        await log.come(nursery, "patient", 1, math.inf)
        await log.come(nursery, "impatient", 1, 3.75)
        await log.come(nursery, "just", 1, 4.0)
    assert log.begun == [
        ("a", 0.0), ("b", 1.0), ("c", 2.0), ("patient", 3.0), ("just", 4.0)
    ]  # fmt: skip
    assert log.reasons() == [("d", 0.0, "max_wait", 3.0), ("impatient", 0.0, "max_wait", 4.0)]


async def test_who_would_be_cancelled_before_is_refused_on_arrival(
    autojump_clock: MockClock,
) -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    limiter.acquire_nowait()
    for timeout in (0.5, 1.0):  # at the deadline itself nothing could begin any more
        with trio.move_on_after(timeout), pytest.raises(RateLimitedError) as caught:
            await limiter.acquire()
        assert (caught.value.reason, caught.value.retry_after) == ("deadline", 1.0)
        assert trio.current_time() == 0.0
    with trio.fail_after(1.001):
        await limiter.acquire()
    assert trio.current_time() == 1.0
    with trio.move_on_after(0.5), trio.CancelScope(shield=True):
        await limiter.acquire()
    assert trio.current_time() == 2.0


async def test_no_wait_at_all_is_a_bound_too(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    await limiter.acquire(max_wait=0)
    with pytest.raises(RateLimitedError):
        await limiter.acquire(max_wait=0)
    for bad in (-1.0, math.nan, True, "1"):
        wrong: Any = bad
        with pytest.raises(ValueError, match="RateLimiter: max_wait must be a number of sec"):
            await limiter.acquire(max_wait=wrong)


async def test_only_so_many_may_wait(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", WindowPolicy(limit=1, window=1.0, max_waiters=2)))
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            await log.come(nursery, name)
    assert log.begun == [("a", 0.0), ("b", 1.0), ("c", 2.0)]
    assert log.reasons() == [("d", 0.0, "queue", 3.0)]


async def test_what_is_foretold_reaches_beyond_a_window(autojump_clock: MockClock) -> None:
    """The line may be many windows deep; one who is cancelled moves all behind it."""
    log = Log(RateLimiter("x", limit=3, window=0.7))
    await trio.sleep(5.3)
    await take(log.limiter, 3)
    first = trio.CancelScope()

    async def goes_away() -> None:
        with first:
            await log.enter("first")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(goes_away)
        await wait_all_tasks_blocked()
        for number in range(8):
            await log.come(nursery, str(number))
        one = 5.3 + 0.7
        two = one + 0.7
        three = two + 0.7
        four = three + 0.7
        await log.come(nursery, "late", 1, 0.0)
        assert log.refused[-1][2].retry_after == four - 5.3
        first.cancel()
        await log.come(nursery, "early", 1, 0.0)
        assert log.refused[-1][2].retry_after == three - 5.3
    assert [at for _, at in log.begun] == [one] * 3 + [two] * 3 + [three] * 2


# ---------------------------------------------------------------- cancellation


async def test_one_who_is_cancelled_already_consumes_nothing() -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with limiter:
            pytest.fail("the body ran though it was cancelled")
    assert scope.cancelled_caught
    assert limiter.statistics() == RateLimiterStatistics(
        limits=(1,), free=1, waiting=0, waiting_weight=0, admitted=0, refused=0, cancelled=0
    )


@pytest.mark.parametrize("who", range(5))
async def test_one_who_is_cancelled_might_never_have_come(
    who: int, autojump_clock: MockClock
) -> None:
    log = Log(RateLimiter("x", limit=1, window=1.0))
    log.limiter.acquire_nowait()
    scopes = [trio.CancelScope() for _ in range(5)]

    async def enter(number: int) -> None:
        with scopes[number]:
            await log.enter(str(number))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(enter, number)
            await wait_all_tasks_blocked()
        await trio.sleep(0.5)
        scopes[who].cancel()
    left = [str(number) for number in range(5) if number != who]
    assert log.begun == [(name, at + 1.0) for at, name in enumerate(left)]
    assert log.limiter.statistics().cancelled == 1


async def test_a_light_one_begins_when_the_heavy_one_before_it_goes(
    autojump_clock: MockClock,
) -> None:
    log = Log(RateLimiter("x", limit=2, window=1.0))
    log.limiter.acquire_nowait()
    heavy = trio.CancelScope()

    async def goes_away() -> None:
        with heavy:
            await log.enter("heavy", 2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(goes_away)
        await wait_all_tasks_blocked()
        await log.come(nursery, "light")
        await trio.sleep(0.5)
        heavy.cancel()
    assert log.begun == [("light", 0.5)]


async def test_one_who_is_cancelled_has_left_at_once(autojump_clock: MockClock) -> None:
    """Before its task even knows, somebody else may come."""
    limiter = RateLimiter("x", limit=2, window=1.0)
    limiter.acquire_nowait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limiter.acquire, 2)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        limiter.acquire_nowait()
        assert limiter.statistics().waiting == 0


async def test_all_are_cancelled_at_the_very_instant_of_the_first(
    autojump_clock: MockClock,
) -> None:
    """Either is right, to be served or to be cancelled: but nobody is lost and nothing is left."""
    log = Log(RateLimiter("x", limit=1, window=1.0))
    log.limiter.acquire_nowait()
    with trio.CancelScope(shield=True) as scope:
        async with trio.open_nursery() as nursery:
            for name in "abc":
                await log.come(nursery, name)
            scope.deadline = 1.0
    found = log.limiter.statistics()
    assert (found.waiting, found.cancelled) == (0, 3 - len(log.begun))
    await trio.sleep(5.0)
    log.limiter.acquire_nowait()


# ---------------------------------------------------------------- another limit


async def test_a_higher_limit_holds_at_once(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", limit=1, window=1.0))
    log.limiter.acquire_nowait()
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            await log.come(nursery, name)
        await trio.sleep(0.5)
        log.limiter.set_limit(3)
        assert log.limiter.statistics().limits == (3,)
    assert log.begun == [("a", 0.5), ("b", 0.5), ("c", 1.0), ("d", 1.5)]


async def test_a_lower_limit_counts_what_was_admitted(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", limit=3, window=1.0))
    await take(log.limiter, 2)
    await trio.sleep(0.5)
    log.limiter.acquire_nowait()
    async with trio.open_nursery() as nursery:
        await log.come(nursery, "a")
        log.limiter.set_limit(1)
        assert log.limiter.statistics().free == 0
    assert log.begun == [("a", 1.5)]


async def test_whom_a_lower_limit_never_allows_is_told_at_once(
    autojump_clock: MockClock,
) -> None:
    log = Log(RateLimiter("x", limit=3, window=1.0))
    await take(log.limiter, 3)
    async with trio.open_nursery() as nursery:
        await log.come(nursery, "heavy", 3)
        await log.come(nursery, "a", 1, 2.0)
        await log.come(nursery, "b", 1, 2.0)
        await log.come(nursery, "c", 1, 2.0)
        await trio.sleep(0.25)
        log.limiter.set_limit(1)
    assert log.begun == [("a", 1.0), ("b", 2.0)]
    log.refused.sort(key=lambda refused: refused[0])  # all at once, in whatever order
    assert log.reasons() == [("c", 0.25, "lowered", 2.75), ("heavy", 0.25, "lowered", None)]
    assert "lowered" in str(log.refused[0][2])


async def test_a_limit_changes_in_the_instant_of_a_service(autojump_clock: MockClock) -> None:
    """Whose timer has gone off when it is thrown out is told so; the next is served."""
    log = Log(RateLimiter("x", limit=2, window=1.0))
    await take(log.limiter, 2)

    class LowerAtOne(trio.abc.Instrument):
        def after_io_wait(self, timeout: float) -> None:
            if trio.current_time() >= 1.0 and log.limiter.statistics().limits == (2,):
                log.limiter.set_limit(1)

    trio.lowlevel.add_instrument(lowering := LowerAtOne())
    async with trio.open_nursery() as nursery:
        await log.come(nursery, "heavy", 2)
        await log.come(nursery, "light")
    trio.lowlevel.remove_instrument(lowering)
    assert log.begun == [("light", 1.0)]
    assert log.reasons() == [("heavy", 1.0, "lowered", None)]


async def test_one_of_several_limits_is_named_by_its_window(
    autojump_clock: MockClock,
) -> None:
    policy = WindowPolicy(limit=2, window=1.0, also=(Rate(3, 10.0),))
    limiter = RateLimiter("x", policy)
    limiter.set_limit(5, window=10.0)
    assert limiter.statistics().limits == (2, 5)
    limiter.set_limit(1)
    assert limiter.statistics().limits == (1, 5)
    with pytest.raises(ValueError, match=r"window must be one of \[1.0, 10.0\], not 2.0"):
        limiter.set_limit(1, window=2.0)
    with pytest.raises(ValueError, match="limit must be a whole number >= 1, not 0"):
        limiter.set_limit(0)
    for instant in (0.0, 1.0, 2.0, 3.0, 4.0, 10.0):
        await limiter.acquire()
        assert trio.current_time() == instant


# ---------------------------------------------------------------- other policies


async def test_all_windows_have_room_or_nothing_is_consumed(
    autojump_clock: MockClock,
) -> None:
    limiter = RateLimiter("x", WindowPolicy(limit=2, window=1.0, also=(Rate(3, 10.0),)))
    found: list[float] = []
    for _ in range(7):
        await limiter.acquire()
        found.append(trio.current_time())
    assert found == [0.0, 0.0, 1.0, 10.0, 10.0, 11.0, 20.0]
    with pytest.raises(ValueError, match="weight must be <= 2"):
        limiter.acquire_nowait(3)


async def test_what_is_foretold_knows_all_windows(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", WindowPolicy(limit=1, window=1.0, also=(Rate(2, 10.0),))))
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            await log.come(nursery, name)
        await log.come(nursery, "hurried", 1, 19.0)
    assert log.begun == [("a", 0.0), ("b", 1.0), ("c", 10.0), ("d", 11.0)]
    assert log.reasons() == [("hurried", 0.0, "max_wait", 20.0)]
    assert not log.limiter.is_idle()
    await trio.sleep(10.0)
    assert log.limiter.is_idle()


async def test_what_a_bucket_lacks_it_still_lacks_at_another_rate(
    autojump_clock: MockClock,
) -> None:
    log = Log(RateLimiter("x", TokenBucketPolicy(limit=4, window=1.0)))
    await take(log.limiter, 4)
    await trio.sleep(0.5)
    log.limiter.set_limit(1)
    assert log.limiter.statistics().free == 2
    async with trio.open_nursery() as nursery:
        for name in "abcd":
            await log.come(nursery, name)
        await trio.sleep(0.5)
        log.limiter.set_limit(2)
    assert log.begun == [("a", 0.5), ("b", 0.5), ("c", 1.25), ("d", 1.75)]
    assert not log.limiter.is_idle()


async def test_a_token_bucket_gives_a_burst_and_then_a_steady_rate(
    autojump_clock: MockClock,
) -> None:
    limiter = RateLimiter("x", TokenBucketPolicy(limit=10, window=1.0, burst=3))
    found: list[float] = []
    for _ in range(8):
        await limiter.acquire()
        found.append(trio.current_time())
    assert found == [0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert limiter.statistics().free == 0
    await trio.sleep_until(0.7)
    assert limiter.statistics().free == 2
    await trio.sleep_until(100.0)
    assert limiter.statistics().free == 3


async def test_a_steady_rate_does_not_drift(autojump_clock: MockClock) -> None:
    """Adding up tenths would give 0.30000000000000004, and be 1e-10 late after a day."""
    limiter = RateLimiter("x", TokenBucketPolicy(limit=10, window=1.0, burst=1))
    for tenth in range(1000):
        await limiter.acquire()
        assert trio.current_time() == tenth / 10


async def test_a_burst_of_one_spaces_evenly(autojump_clock: MockClock) -> None:
    log = Log(RateLimiter("x", TokenBucketPolicy(limit=4, window=1.0, burst=1)))
    async with trio.open_nursery() as nursery:
        for name in "abc":
            await log.come(nursery, name)
        await log.come(nursery, "d", 1, 0.5)
    assert log.begun == [("a", 0.0), ("b", 0.25), ("c", 0.5)]
    assert log.reasons() == [("d", 0.0, "max_wait", 0.75)]


# ---------------------------------------------------------------- settings


def test_short_and_long_mean_the_same() -> None:
    assert RateLimiter("x", limit=5, window=1.0).policy == WindowPolicy(limit=5, window=1.0)
    policy = TokenBucketPolicy(limit=5, window=2.0)
    assert policy.burst == 5
    assert RateLimiter("x", policy).policy is policy
    assert policy.rates == (Rate(5, 2.0),)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"limit": 1},
        {"window": 1.0},
        {"policy": WindowPolicy(limit=1, window=1.0), "limit": 1},
    ],
)
def test_either_a_policy_or_a_limit_and_a_window(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as caught:
        RateLimiter("x", **arguments)
    assert str(caught.value) == "RateLimiter: give either a policy, or limit= and window="


ABOVE = "must be a number of seconds > 0 and finite"
WHOLE = "must be a whole number >= 1"


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (Rate, {"limit": 0}, f"Rate: limit {WHOLE}, not 0"),
        (Rate, {"window": 0.0}, f"Rate: window {ABOVE}, not 0.0"),
        (WindowPolicy, {"limit": 1.0}, f"WindowPolicy: limit {WHOLE}, not 1.0"),
        (WindowPolicy, {"limit": True}, f"WindowPolicy: limit {WHOLE}, not True"),
        (WindowPolicy, {"window": math.nan}, f"WindowPolicy: window {ABOVE}, not nan"),
        (WindowPolicy, {"window": math.inf}, f"WindowPolicy: window {ABOVE}, not inf"),
        (WindowPolicy, {"window": -1}, f"WindowPolicy: window {ABOVE}, not -1"),
        (
            WindowPolicy,
            {"edge": "left"},
            "WindowPolicy: edge must be 'open' or 'closed', not 'left'",
        ),
        (
            WindowPolicy,
            {"max_wait": -0.5},
            "WindowPolicy: max_wait must be a number of seconds >= 0, not -0.5",
        ),
        (
            WindowPolicy,
            {"max_waiters": -1},
            "WindowPolicy: max_waiters must be a whole number >= 0 or None, not -1",
        ),
        (
            WindowPolicy,
            {"also": [Rate(1, 2.0)]},
            "WindowPolicy: also must be a tuple of Rates, not [Rate(limit=1, window=2.0)]",
        ),
        (
            WindowPolicy,
            {"also": ((1, 2.0),)},
            "WindowPolicy: also must be a tuple of Rates, not ((1, 2.0),)",
        ),
        (
            WindowPolicy,
            {"also": (Rate(2, 1.0),)},
            "WindowPolicy: also must be of other windows, not [1.0, 1.0]",
        ),
        (TokenBucketPolicy, {"burst": 0}, f"TokenBucketPolicy: burst {WHOLE}, not 0"),
        (TokenBucketPolicy, {"limit": 0}, f"TokenBucketPolicy: limit {WHOLE}, not 0"),
    ],
)
def test_a_policy_that_makes_no_sense(kind: Any, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind(**{"limit": 1, "window": 1.0, **arguments})
    assert str(caught.value) == text


# ---------------------------------------------------------------- its run of Trio


def under_mock_clock(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=MockClock(autojump_threshold=0.0))


def test_a_limiter_starts_blank_in_another_run() -> None:
    limiter = RateLimiter("x", limit=2, window=1.0)

    async def main() -> None:
        await take(limiter, 2)
        limiter.set_limit(5)
        assert limiter.statistics().free == 3

    under_mock_clock(main)
    under_mock_clock(main)
    assert limiter.statistics().admitted == 2  # outside, as the last run left it
    assert limiter.statistics().free == 5


def test_a_limiter_needs_a_run_of_trio() -> None:
    with pytest.raises(RuntimeError, match="must be called from async context"):
        RateLimiter("x", limit=2, window=1.0).acquire_nowait()


async def test_a_limiter_is_used_under_one_run_at_a_time() -> None:
    limiter = RateLimiter("x", limit=2, window=1.0)
    limiter.acquire_nowait()

    async def main() -> None:
        for use in (limiter.acquire_nowait, limiter.statistics, limiter.is_idle):
            with pytest.raises(GuardInUseError):
                use()
        with pytest.raises(GuardInUseError):
            await limiter.acquire()

    await trio.to_thread.run_sync(trio.run, main)
    assert limiter.statistics().admitted == 1


# ---------------------------------------------------------------- what it tells


async def test_events(autojump_clock: MockClock) -> None:
    told: list[GuardEvent] = []
    log = Log(RateLimiter("x", WindowPolicy(limit=2, window=1.0), on_event=told.append))
    scope = trio.CancelScope()

    async def goes_away() -> None:
        with scope:
            await log.enter("gone")

    await take(log.limiter, 2)
    assert not told
    async with trio.open_nursery() as nursery:
        await log.come(nursery, "a")
        nursery.start_soon(goes_away)
        await wait_all_tasks_blocked()
        await log.come(nursery, "heavy", 2)
        await trio.sleep(0.5)
        scope.cancel()
        with pytest.raises(RateLimitedError):
            log.limiter.acquire_nowait()
        log.limiter.set_limit(1)
    at: dict[str, Any] = {"guard": "x", "timestamp": 0.5}
    assert told == [
        WaitStarted(guard="x", timestamp=0.0, waiting=1),
        WaitStarted(guard="x", timestamp=0.0, waiting=2),
        WaitStarted(guard="x", timestamp=0.0, waiting=3),
        WaitEnded(**at, outcome="cancelled", waited=0.5),
        CallRejected(**at, reason="full", retry_after=2.5),
        LimitChanged(**at, before=2, limit=1),
        WaitEnded(**at, outcome="rejected", waited=0.5),
        CallRejected(**at, reason="lowered", retry_after=None),
        WaitEnded(guard="x", timestamp=1.0, outcome="admitted", waited=1.0),
    ]


async def test_a_listener_may_use_the_limiter_and_cancel_who_waits(
    autojump_clock: MockClock,
) -> None:
    scope = trio.CancelScope()

    def on_event(event: GuardEvent) -> None:
        if isinstance(event, LimitChanged) and event.limit < 3:
            scope.cancel()
            log.limiter.set_limit(3)

    log = Log(RateLimiter("x", limit=3, window=1.0, on_event=on_event))

    async def goes_away() -> None:
        with scope:
            await log.enter("heavy", 3)

    await take(log.limiter, 3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(goes_away)
        await wait_all_tasks_blocked()
        for name in "abc":
            await log.come(nursery, name)
        log.limiter.set_limit(2)
    assert log.begun == [("a", 1.0), ("b", 1.0), ("c", 1.0)]
    assert log.reasons() == [("heavy", 0.0, "lowered", None)]


async def test_a_listener_that_raises_changes_nothing(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def on_event(event: GuardEvent) -> None:
        raise ValueError(event)

    limiter = RateLimiter("x", limit=1, window=1.0, on_event=on_event)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await limiter.acquire()
    assert trio.current_time() == 2.0
    assert len(caplog.records) == 1


# ---------------------------------------------------------------- many


class Steps(trio.abc.Instrument):
    """Counts what the scheduler does, and the most timers at once."""

    def __init__(self) -> None:
        self.count = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


@pytest.mark.parametrize("number", [1_000, 10_000])
async def test_however_many_wait_each_costs_the_same(
    number: int, autojump_clock: MockClock
) -> None:
    """A task that waits runs three times at most: it comes, it is the first, it begins."""
    limiter = RateLimiter("x", limit=number // 10, window=1.0)
    begun: list[int] = []

    async def enter(name: int) -> None:
        async with limiter:
            begun.append(name)

    async with trio.open_nursery() as nursery:
        for name in range(number):
            nursery.start_soon(enter, name)
        await wait_all_tasks_blocked()
        assert limiter.statistics().waiting == number - number // 10
        order = [*begun]
        del begun[:]
        trio.lowlevel.add_instrument(steps := Steps())
    trio.lowlevel.remove_instrument(steps)
    assert trio.current_time() == 9.0
    assert len({*order, *begun}) == number
    assert steps.count <= number


async def test_only_the_first_has_a_timer(autojump_clock: MockClock) -> None:
    limiter = RateLimiter("x", limit=1, window=1.0)
    limiter.acquire_nowait()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(limiter.acquire)
        await wait_all_tasks_blocked()
        for waiting in range(10, 0, -1):
            assert limiter.statistics().waiting == waiting
            assert trio.lowlevel.current_statistics().seconds_to_next_deadline == 1.0
            await trio.sleep(1.0)
            await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
