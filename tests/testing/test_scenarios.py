"""What production does to clients, each in a few lines: exact times and counts, in virtual time."""

from __future__ import annotations

import attrs
import trio

from agentflow_trio import (
    END,
    BreakerState,
    CircuitBreaker,
    CircuitOpenError,
    CircuitPolicy,
    RateLimitedError,
    RateLimiter,
    Retry,
    RetryBudget,
    RetryPolicy,
    Timeout,
    WindowPolicy,
    Wiring,
    flow,
    step,
)
from agentflow_trio.errors import DeadlineExceededError
from agentflow_trio.testing import (
    Delay,
    Duplicate,
    Faults,
    LostReply,
    always,
    cancel_everywhere,
    explore,
    fault_point,
    first,
    record,
    script,
    simulate,
)

POLICY = CircuitPolicy(failure_threshold=3, recovery_timeout=30.0)
DOWN = (OSError, CircuitOpenError)


class Client:
    """Asks every second, behind a breaker; keeps times of answers, and counts calls."""

    def __init__(self, policy: CircuitPolicy = POLICY, *, takes: float = 0.0) -> None:
        self.breaker = CircuitBreaker("service", policy)
        self.takes = takes
        self.answers: list[float] = []
        self.calls = 0

    async def ask(self) -> None:
        try:
            async with self.breaker:
                self.calls += 1
                await fault_point("service")
                await trio.sleep(self.takes)
                self.answers.append(trio.current_time())
        except DOWN:
            await trio.lowlevel.checkpoint()

    async def for_a_minute(self) -> None:
        for second in range(60):
            await trio.sleep_until(second)
            await self.ask()


@attrs.define
class Order:
    paid: int = 0


# ---------------------------------------------------------------- the service


def test_an_outage_is_met_by_three_calls_and_one_probe_each_thirty_seconds() -> None:
    client = Client()
    timeline = record(client.for_a_minute, faults=Faults(service=always(OSError)))
    assert client.calls == 4
    opened = timeline.watch("opened", lambda now: now.of(client.breaker).opened)
    assert opened.changes == ((2.0, 1), (32.0, 2))
    assert timeline.at(2.0).of(client.breaker).state is BreakerState.CLOSED
    assert timeline.at(2.5).of(client.breaker).state is BreakerState.OPEN
    better = timeline.fork(at=30.0, faults=Faults())
    assert better.final.of(client.breaker).state is BreakerState.CLOSED


def test_a_slow_start_opens_a_breaker_that_counts_slow_calls() -> None:
    slow = CircuitPolicy(
        failure_threshold=None, slow_rate=0.5, slow_after=2.0, min_calls=4, window=60.0
    )
    client = Client(slow, takes=0.25)
    with simulate(client.for_a_minute, faults=Faults(service=first(3, Delay(4.0)))) as sim:
        sim.run_until(13.0)
        assert client.answers == [4.25, 8.5, 12.75]
        assert client.breaker.statistics().opened == 0
        sim.settle()
        assert client.breaker.statistics().opened == 1
        sim.run()
    assert client.answers[3:5] == [13.0, 43.25]


def test_a_dependency_that_flaps_opens_a_breaker_of_k_of_n_but_not_one_that_counts_in_a_row() -> (
    None
):
    flapping = Faults(service=lambda call: OSError("flap") if call % 2 else None)
    in_a_row, of_last = Client(), Client(CircuitPolicy(failures_of_last=(3, 6)))
    for client in (in_a_row, of_last):
        record(client.for_a_minute, faults=flapping)
    assert (in_a_row.calls, len(in_a_row.answers)) == (60, 30)
    assert (of_last.calls, len(of_last.answers)) == (11, 5)


# ---------------------------------------------------------------- its clients


def test_after_recovery_a_herd_of_a_hundred_sends_a_single_probe() -> None:
    client = Client(takes=1.0)

    async def herd() -> None:
        client.breaker.open()
        await trio.sleep(30.0)
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(client.ask)

    with simulate(herd) as sim:
        sim.run()
    assert (client.calls, client.answers) == (1, [31.0])
    assert client.breaker.statistics().rejected == 99


def test_a_half_open_herd_gets_one_probe_in_every_order() -> None:
    async def herd() -> int:
        client = Client(CircuitPolicy(failure_threshold=1, recovery_timeout=1.0), takes=0.5)
        client.breaker.open()
        async with trio.open_nursery() as nursery:
            for after in (1.0, 1.0, 1.25):
                nursery.start_soon(late, client, after)
        return client.calls

    async def late(client: Client, after: float) -> None:
        await trio.sleep(after)
        await client.ask()

    explore(herd, seeds=50, check=lambda calls: calls == 1 or 1 / 0).raise_on_failure()


def test_a_burst_over_the_limit_is_spread_to_the_end_of_the_window() -> None:
    limiter = RateLimiter("calls", WindowPolicy(limit=10, window=1.0, max_wait=1.5))
    served: list[float] = []

    async def ask() -> None:
        try:
            async with limiter:
                served.append(trio.current_time())
        except RateLimitedError:
            served.append(-1.0)

    with simulate(trio.Event().wait) as sim:
        for _ in range(25):
            sim.spawn(ask)
        sim.run_until(5.0)
        sim.cancel("enough")
    assert [served.count(at) for at in (0.0, 1.0, -1.0)] == [10, 10, 5]


# ---------------------------------------------------------------- messages


def charges_with(key: str | None) -> int:
    """How often a customer is charged if the first reply of the bank is lost."""
    charges: dict[str, int] = {}

    async def charge() -> None:
        charges[key or f"call {len(charges)}"] = 10
        await trio.sleep(0.5)

    async def pay() -> None:
        await Retry(RetryPolicy(jitter=0.0), name="bank").call(charge)

    timeline = record(pay, faults=Faults(bank=script([LostReply(TimeoutError)])))
    assert timeline.duration == 1.1
    return len(charges)


def test_a_lost_reply_charges_twice_unless_the_key_is_the_same() -> None:
    assert charges_with(None) == 2
    assert charges_with("order 7") == 1


def test_a_reply_that_is_doubled_pays_twice() -> None:
    charges: list[int] = []

    @step
    async def pay(order: Order) -> None:
        charges.append(10)
        order.paid += 10
        await trio.sleep(1.0)

    @flow(name="shop")
    def shop() -> Wiring[Order]:
        return [pay.then(END)]

    once = record(shop, Order())
    assert charges == [10]
    twice = record(shop, Order(), faults=Faults(pay=first(1, Duplicate())))
    assert (once.duration, twice.duration) == (1.0, 2.0)
    assert charges == [10, 10, 10]
    assert once.final.state == twice.final.state == Order(10)  # which is why nobody notices


# ---------------------------------------------------------------- trying again


def storm_of(policy: RetryPolicy) -> int:
    """Calls that reach a service that is down, of twenty requests with a retry within a retry."""
    calls: list[float] = []

    async def down() -> None:
        calls.append(trio.current_time())
        raise OSError("down")

    async def request() -> None:
        try:
            await Retry(policy).call(lambda: Retry(policy).call(down))
        except OSError:
            await trio.lowlevel.checkpoint()

    async def requests() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(request)

    record(requests)
    return len(calls)


def test_a_storm_of_retries_is_nine_calls_for_one_and_a_budget_ends_it() -> None:
    storm = RetryPolicy(max_attempts=3, jitter=0.0)
    assert storm_of(storm) == 20 * 9
    assert storm_of(attrs.evolve(storm, budget=RetryBudget("all", ratio=0.2, reserve=0))) == 28


def test_no_retry_begins_that_would_pass_the_deadline() -> None:
    calls: list[float] = []

    async def down() -> None:
        calls.append(trio.current_time())
        raise OSError("down")

    async def program() -> float:
        try:
            async with Timeout(10.0):
                await Retry(RetryPolicy(max_attempts=9, base_delay=1.0, jitter=0.0)).call(down)
        except (OSError, DeadlineExceededError):
            pass
        return trio.current_time()

    with simulate(program) as sim:
        sim.run()
        assert sim.result == 7.0
    assert calls == [0.0, 1.0, 3.0, 7.0]


# ---------------------------------------------------------------- cancellation


def test_whoever_is_cancelled_in_whatever_phase_leaves_nothing_behind() -> None:
    breaker = CircuitBreaker("service", POLICY)

    async def call() -> None:
        try:
            await Retry(RetryPolicy(base_delay=1.0, jitter=0.0)).call(attempt)
        finally:
            assert breaker.statistics().running == 0

    async def attempt() -> None:
        async with breaker:
            await trio.sleep(0.5)
            await fault_point("service")

    assert cancel_everywhere(call, faults=Faults(service=first(2, OSError))) >= 6
