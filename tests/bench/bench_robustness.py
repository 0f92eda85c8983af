"""Guards used alone: the hand-written limit and our side of R1 to R12, one below the other.

The rules of `bench_limits` hold. A limit here is what a person would write for this one program: it guards, and that
is all. It has no events, no statistics, no name in its errors, one owner, one run of Trio.
"""

from __future__ import annotations

import gc
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from operator import eq
from random import Random
from types import TracebackType
from typing import Protocol

import trio
import trio.testing
from attrs import define, field
from bench_limits import Body, Staged
from trio.lowlevel import Abort, Task, checkpoint_if_cancelled
from typing_extensions import override

from agentflow_trio.errors import RejectedError
from agentflow_trio.robustness import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    Chaos,
    ChaosPolicy,
    CircuitBreaker,
    Fallback,
    Hedge,
    LoadShedder,
    RateLimiter,
    Retry,
    SingleFlight,
    TTLCache,
    open_pool,
    pipeline,
)

__all__ = [
    "adapt",
    "adapt_by_hand",
    "admit",
    "admit_by_hand",
    "admit_narrow",
    "admit_wide",
    "bulkhead",
    "calm",
    "calm_by_hand",
    "closed",
    "closed_by_hand",
    "composed",
    "composed_call",
    "hedged",
    "hedged_by_hand",
    "hit",
    "hit_by_hand",
    "instead",
    "instead_by_hand",
    "lend",
    "lend_by_hand",
    "line",
    "line_at_bulkhead",
    "line_by_hand",
    "miss",
    "miss_by_hand",
    "one_inside_the_other",
    "peek",
    "peek_by_hand",
    "queue",
    "rejected",
    "rejected_by_hand",
    "retry_call",
    "retry_loop",
    "semaphore",
    "shared",
    "shared_by_hand",
    "shed",
    "shed_by_hand",
    "tried_by_hand",
    "worst_admit",
]


async def one() -> int:
    """What is guarded: it never waits."""
    return 1


# ---------------------------------------------------------------- R1


def tried_by_hand(calls: int) -> Body:
    """Calls that succeed at the first attempt.

    Ours: ``await retry.call(fn)``, and the same as ``async for attempt in retry: async with attempt:``.
    Limit: a loop of three attempts with try, except and a growing sleep around the same call.
    Fair: neither ever sleeps. The limit has no jitter, no deadline and no budget, and tells nobody.
    """

    async def body() -> int:
        done = 0
        for _ in range(calls):
            for attempt in range(3):
                try:
                    done += await one()
                except OSError:
                    await trio.sleep(0.1 * 2**attempt)
                else:
                    break
        return done

    return body


def retry_call(calls: int) -> Body:
    retry = Retry()

    async def body() -> int:
        done = 0
        for _ in range(calls):
            done += await retry.call(one)
        return done

    return body


def retry_loop(calls: int) -> Body:
    retry = Retry()

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async for attempt in retry:
                async with attempt:
                    done += await one()
        return done

    return body


# ---------------------------------------------------------------- R2


class OpenError(Exception):
    """The hand-written circuit is open."""


@define(eq=False)
class Circuit:
    """A circuit breaker by hand: so many failures in a row open it for a while."""

    most: int = 5
    cooling: float = 30.0
    failures: int = 0
    until: float = -math.inf

    async def __aenter__(self) -> None:
        if self.failures >= self.most and trio.current_time() < self.until:
            raise OpenError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.failures = 0
        elif isinstance(error, Exception):
            self.failures += 1
            self.until = trio.current_time() + self.cooling


def closed_by_hand(calls: int) -> Body:
    """Calls through a closed circuit.

    Ours: ``async with breaker:`` around a call that succeeds.
    Limit: a class of two methods that counts failures in a row and compares a time when there were enough.
    Fair: both are class-based context managers. The limit is no cancellation point, lets everybody through as soon
    as it has cooled, and believes results that come late.
    """
    circuit = Circuit()

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async with circuit:
                done += await one()
        return done

    return body


def closed(calls: int) -> Body:
    breaker = CircuitBreaker("bench")

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async with breaker:
                done += await one()
        return done

    return body


def rejected_by_hand(calls: int) -> Body:
    """Calls that an open circuit rejects.

    Ours: ``async with breaker:`` and the error caught around it; it says which guard, why, and for how long.
    Limit: the same with the hand-written circuit, whose error says nothing.
    Fair: both raise and catch one exception per call.
    """

    async def body() -> int:
        circuit, refused = Circuit(failures=5, until=math.inf), 0
        for _ in range(calls):
            try:
                async with circuit:
                    await one()
            except OpenError:
                refused += 1
        return refused

    return body


def rejected(calls: int) -> Body:
    breaker = CircuitBreaker("bench")

    async def body() -> int:
        breaker.open()
        refused = 0
        for _ in range(calls):
            try:
                async with breaker:
                    await one()
            except RejectedError:
                refused += 1
        return refused

    return body


# ---------------------------------------------------------------- R3

A_MOMENT = 1e-7
"""Seconds of window for each admission it allows: less than a call takes, so that there always is room."""


class Ring:
    """A sliding window by hand: when each of the last admissions expires."""

    def __init__(self, limit: int, window: float) -> None:
        self.expiries = [-math.inf] * limit
        self.at = 0
        self.window = window

    def admit(self) -> bool:
        now = trio.current_time()
        if self.expiries[self.at] > now:
            return False
        self.expiries[self.at] = now + self.window
        self.at += 1
        if self.at == len(self.expiries):
            self.at = 0
        return True


def admit_by_hand(limit: int, calls: int) -> Body:
    """Calls that a sliding window admits without waiting.

    Ours: ``limiter.acquire_nowait()``.
    Limit: a ring of times: admit if the oldest is over, and put the new one in its place.
    Fair: exact on both sides, and the same window, so short that a part of the ring is in it and all is admitted. The
    limit knows neither weights nor waiters.
    """

    async def body() -> int:
        ring, done = Ring(limit, limit * A_MOMENT), 0
        for _ in range(calls):
            done += ring.admit()
        return done

    return body


def admit(limit: int, calls: int) -> Body:
    limiter = RateLimiter("bench", limit=limit, window=limit * A_MOMENT)

    async def body() -> int:
        for _ in range(calls):
            limiter.acquire_nowait()
        return calls

    return body


def admit_narrow(calls: int) -> Body:
    """Calls that a sliding window admits: does it matter how long the window is?

    Ours: 100,000 calls are allowed in a window.
    Limit: ours, too, but 10 are.
    Fair: nothing but the size differs.
    """
    return admit(10, calls)


def admit_wide(calls: int) -> Body:
    return admit(100_000, calls)


class Standing(trio.abc.Clock):
    """A clock that stands until it is moved on."""

    now = 0.0

    @override
    def start_clock(self) -> None:
        pass

    @override
    def current_time(self) -> float:
        return self.now

    @override
    def deadline_to_sleep_time(self, deadline: float) -> float:
        return 0.0


def worst_admit(limit: int, rounds: int) -> float:
    """The slowest single call of a window that fills up, and all of which then expires at once; microseconds.

    Every call is timed in every round; what counts of each is its fastest round, since the same call is slow in all
    rounds only if it has more to do.
    """
    best = [math.inf] * (2 * limit)

    async def one_round(clock: Standing) -> None:
        limiter = RateLimiter("bench", limit=limit, window=1.0)
        tick = time.perf_counter_ns
        for at in range(2 * limit):
            if at == limit:
                clock.now += 5.0
            before = tick()
            limiter.acquire_nowait()
            best[at] = min(best[at], tick() - before)

    gc.disable()  # it would come at the same calls in every round
    for _ in range(rounds):
        clock = Standing()
        trio.run(one_round, clock, clock=clock)
    return max(best) / 1000


# ---------------------------------------------------------------- R4


def lend_by_hand(calls: int) -> Body:
    """Objects borrowed and given back, one at a time, with nobody else around.

    Ours: ``async with pool.lend() as value:``.
    Limit: a checkpoint, and a pop from and an append to a list, in try and finally.
    Fair: one scheduler pass on both sides, which is most of it. The limit would fail if the list were empty.
    """

    async def body() -> int:
        idle, done = [1], 0
        for _ in range(calls):
            await trio.lowlevel.checkpoint()
            value = idle.pop()
            try:
                done += value
            finally:
                idle.append(value)
        return done

    return body


def semaphore(calls: int) -> Body:
    """A place taken and given back, with nobody else around.

    Ours: ``async with pool.lend() as value:``, or ``async with bulkhead:``.
    Limit: ``async with trio.Semaphore(1):``, Trio's own, which this gate is about.
    Fair: one scheduler pass on both sides. The semaphore lends nothing and does not know who holds it.
    """

    async def body() -> int:
        places, done = trio.Semaphore(1), 0
        for _ in range(calls):
            async with places:
                done += 1
        return done

    return body


def lend(calls: int) -> Body:
    async def body() -> int:
        done = 0
        async with open_pool(one, size=1) as pool:
            for _ in range(calls):
                async with pool.lend() as value:
                    done += value
        return done

    return body


def bulkhead(calls: int) -> Body:
    places = Bulkhead("bench", limit=1)

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async with places:
                done += 1
        return done

    return body


# ---------------------------------------------------------------- R5


class Place(Protocol):
    """What one task can be in at a time."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> object: ...


def queue(waiters: int, place: Callable[[], Place]) -> AbstractAsyncContextManager[Body]:
    """Tasks wait in line for a place; the body lets them through one by one, and says how many came in order."""

    @asynccontextmanager
    async def stage() -> AsyncIterator[Body]:
        arrived, served, all_through = list[int](), list[int](), trio.Event()

        async def pass_through(number: int) -> None:
            arrived.append(number)
            async with place():
                served.append(number)
            if len(served) == waiters:
                all_through.set()

        async def body() -> int:
            await taken.__aexit__(None, None, None)
            await all_through.wait()
            return sum(map(eq, arrived, served))

        async with trio.open_nursery() as nursery:
            taken = place()
            await taken.__aenter__()
            for number in range(waiters):
                nursery.start_soon(pass_through, number)
            await trio.testing.wait_all_tasks_blocked()
            yield body

    return stage()


@define(eq=False)
class Hatch:
    """A place for one, by hand: who comes when it is taken waits in an ordered dict until it is handed over."""

    taken: bool = False
    line: OrderedDict[Task, None] = field(factory=OrderedDict[Task, None])

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self.taken:
            self.taken = True
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        task = trio.lowlevel.current_task()
        self.line[task] = None

        def give_up(_: object) -> Abort:
            del self.line[task]
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.line:
            trio.lowlevel.reschedule(self.line.popitem(last=False)[0])
        else:
            self.taken = False


def line_by_hand(waiters: int) -> Body:
    """Tasks that wait for one place and hand it on from one to the next; timed from the first hand-over to the last.

    Ours: ``async with pool.lend():`` on a pool of one object, and ``async with bulkhead:`` on one place.
    Limit: an ordered dict of tasks, the first of which is rescheduled; a cancelled one takes itself out.
    Fair: the tasks are started, and wait, before the clock does; each is one scheduler pass. All must come through in
    the order in which they came, or the work does not count.
    """

    @asynccontextmanager
    async def stage() -> AsyncIterator[Body]:
        hatch = Hatch()
        async with queue(waiters, lambda: hatch) as body:
            yield body

    return Staged(stage)


def line(waiters: int) -> Body:
    @asynccontextmanager
    async def stage() -> AsyncIterator[Body]:
        async with open_pool(one, size=1) as pool, queue(waiters, pool.lend) as body:
            yield body

    return Staged(stage)


def line_at_bulkhead(waiters: int) -> Body:
    @asynccontextmanager
    async def stage() -> AsyncIterator[Body]:
        places = Bulkhead("bench", limit=1)
        async with queue(waiters, lambda: places) as body:
            yield body

    return Staged(stage)


# ---------------------------------------------------------------- R6


async def soon() -> int:
    """What is hedged: it answers after one scheduler pass."""
    await trio.lowlevel.checkpoint()
    return 1


def hedged_by_hand(calls: int) -> Body:
    """Calls whose first attempt answers at once, so that no other begins.

    Ours: ``await hedge.call(fn)``.
    Limit: a nursery, a child that makes the call, and a wait for it with a timeout, after which it would begin another.
    Fair: the first attempt is a child on both sides, since whoever would begin the second must not be busy with the
    first. (With the call in the caller's task and the wait in the child it takes longer: the wait must be cancelled.) The
    limit handles no failure, decides no tie, and raises errors in groups.
    """

    async def hedged() -> int:
        answers, answered = list[int](), trio.Event()

        async def attempt() -> None:
            answers.append(await soon())
            answered.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt)
            with trio.move_on_after(10.0):
                await answered.wait()
            if not answers:
                nursery.start_soon(attempt)
                await answered.wait()
                nursery.cancel_scope.cancel()
        return answers[0]

    async def body() -> int:
        done = 0
        for _ in range(calls):
            done += await hedged()
        return done

    return body


def hedged(calls: int) -> Body:
    hedge = Hedge(after=10.0)

    async def body() -> int:
        done = 0
        for _ in range(calls):
            done += await hedge.call(soon)
        return done

    return body


# ---------------------------------------------------------------- R7


async def load(key: int) -> int:
    """What is loaded: it waits as little as one can."""
    await trio.lowlevel.checkpoint()
    return key


class Kept:
    """A cache by hand: a dict of values with their expiries, and one of the loads that go on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.values: dict[int, tuple[int, float]] = {}
        self.loading: dict[int, trio.Event] = {}

    async def get(self, key: int) -> int:
        while True:
            found = self.values.get(key)
            if found is not None and trio.current_time() < found[1]:
                await trio.lowlevel.checkpoint()
                return found[0]
            if key not in self.loading:
                break
            await self.loading[key].wait()
        over = self.loading[key] = trio.Event()
        try:
            value = await load(key)
            self.values[key] = value, trio.current_time() + self.seconds
        finally:
            del self.loading[key]
            over.set()
        return value


def hit_by_hand(calls: int) -> Body:
    """Values that are there.

    Ours: ``await cache.get(key)``, of a `TTLCache`.
    Limit: a dict of values and expiries, and a checkpoint.
    Fair: one scheduler pass on both sides, which is most of it. The limit grows for ever.
    """
    cache = Kept(60.0)

    async def body() -> int:
        done = 0
        for _ in range(calls):
            done += await cache.get(1)
        return done

    return body


def hit(calls: int) -> Body:
    async def body() -> int:
        cache, done = TTLCache(load, ttl=60.0), 0
        for _ in range(calls):
            done += await cache.get(1)
        return done

    return body


def peek(calls: int) -> Body:
    async def body() -> int:
        cache, done = TTLCache(load, ttl=60.0), 0
        cache.put(1, 1)
        for _ in range(calls):
            done += cache.peek(1, 0)
        return done

    return body


def peek_by_hand(calls: int) -> Body:
    """Values that are there, without a checkpoint.

    Ours: ``cache.peek(key, 0)``.
    Limit: a dict of values and expiries.
    Fair: both read the clock. The limit cannot be used in two runs of Trio, and is written out in the loop.
    """

    async def body() -> int:
        values, done = {1: (1, trio.current_time() + 60.0)}, 0
        for _ in range(calls):
            found = values.get(1)
            done += 0 if found is None or found[1] <= trio.current_time() else found[0]
        return done

    return body


class Shared:
    """A single flight by hand: a dict of the loads that go on, each an event and a list for what it was."""

    def __init__(self) -> None:
        self.loading: dict[int, tuple[trio.Event, list[int]]] = {}

    async def get(self, key: int) -> int:
        while key in self.loading:
            over, values = self.loading[key]
            await over.wait()
            if values:
                return values[0]
        over, values = self.loading[key] = trio.Event(), list[int]()
        try:
            values.append(await load(key))
        finally:
            del self.loading[key]
            over.set()
        return values[0]


def miss_by_hand(calls: int) -> Body:
    """Loads, one after the other, with nobody else around.

    Ours: ``await flight.get(key)``, of a `SingleFlight`.
    Limit: a dict of events; who waits looks again when the load has failed or was cancelled.
    Fair: one scheduler pass on both sides, in what is loaded. With the limit, all who waited race for it when a load was
    cancelled, and nobody is told why one failed.
    """
    flight = Shared()

    async def body() -> int:
        done = 0
        for _ in range(calls):
            done += await flight.get(1)
        return done

    return body


def miss(calls: int) -> Body:
    flight = SingleFlight(load)

    async def body() -> int:
        done = 0
        for _ in range(calls):
            done += await flight.get(1)
        return done

    return body


def crowd(get: Callable[[int], Awaitable[int]], callers: int) -> Body:
    """All ask for the same key at the same time."""
    got: list[int] = []

    async def ask() -> None:
        got.append(await get(1))

    async def body() -> int:
        got.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(callers):
                nursery.start_soon(ask)
        return sum(got)

    return body


def shared_by_hand(callers: int) -> Body:
    """Many who ask at the same time for what one of them loads.

    Ours: ``await flight.get(key)`` in a task each.
    Limit: the dict of events.
    Fair: a task and two scheduler passes for each on both sides, which is most of it.
    """
    return crowd(Shared().get, callers)


def shared(callers: int) -> Body:
    return crowd(SingleFlight(load).get, callers)


# ---------------------------------------------------------------- R8


@define(eq=False)
class Adaptive:
    """An adaptive limit by hand: refuse when it is reached, one more for a success, a tenth less for a failure."""

    limit: int = 20
    inside: int = 0

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.inside >= self.limit:
            raise OpenError
        self.inside += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            if 2 * self.inside >= self.limit:
                self.limit = min(self.limit + 1, 200)
        elif isinstance(error, Exception):
            self.limit = max(int(self.limit * 0.9), 1)
        self.inside -= 1


def adapt_by_hand(calls: int) -> Body:
    """Places of an adaptive limit, taken and given back by a body that ends well, with nobody else around.

    Ours: ``async with limit:``.
    Limit: a checkpoint and two numbers, one of which moves when the body has ended.
    Fair: one scheduler pass on both sides. The limit knows neither who is inside nor since when, so it can tell no slow
    body, and takes each of many that fail at once for news.
    """

    async def body() -> int:
        places, done = Adaptive(), 0
        for _ in range(calls):
            async with places:
                done += 1
        return done

    return body


def adapt(calls: int) -> Body:
    places = AdaptiveLimit("bench", AdaptiveLimitPolicy(slow_after=1.0))

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async with places:
                done += 1
        return done

    return body


# ---------------------------------------------------------------- R9


def shed_by_hand(calls: int) -> Body:
    """Calls that a load shedder lets in.

    Ours: ``async with shedder:`` around a call that succeeds.
    Limit: the same load asked for and compared before the call.
    Fair: the load is the length of a list on both sides. The limit is no guard: it cannot be entered, counts nothing,
    and is no cancellation point.
    """
    jobs = list[int]()

    async def body() -> int:
        done = 0
        for _ in range(calls):
            if len(jobs) > 3:
                raise OpenError
            done += await one()
        return done

    return body


def shed(calls: int) -> Body:
    jobs = list[int]()
    shedder = LoadShedder("bench", jobs.__len__, threshold=3)

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async with shedder:
                done += await one()
        return done

    return body


# ---------------------------------------------------------------- R10


def one_inside_the_other(calls: int) -> Body:
    """Bodies within three guards: a closed circuit, a limiter and a bulkhead with room for all.

    Ours: ``async with composed:``, of ``pipeline(breaker, limiter, bulkhead)``; or ``composed.call``.
    Limit: ``async with breaker, limiter, bulkhead:`` on the same guards.
    Fair: both do two scheduler passes, one in each guard that can wait, which is most of it. The limit lets the time of
    slow calls count from the breaker on.
    """

    async def body() -> int:
        breaker, limiter, places = _three()
        done = 0
        for _ in range(calls):
            async with breaker, limiter, places:
                done += await one()
        return done

    return body


def composed(calls: int) -> Body:
    async def body() -> int:
        guarded, done = pipeline(*_three()), 0
        for _ in range(calls):
            async with guarded:
                done += await one()
        return done

    return body


def composed_call(calls: int) -> Body:
    async def body() -> int:
        guarded, done = pipeline(*_three()), 0
        for _ in range(calls):
            done += await guarded.call(one)
        return done

    return body


def _three() -> tuple[CircuitBreaker, RateLimiter, Bulkhead]:
    limiter = RateLimiter("bench", limit=1_000_000, window=1.0)
    return CircuitBreaker("bench"), limiter, Bulkhead("bench", limit=9)


# ---------------------------------------------------------------- R11


@define(eq=False)
class Switch:
    """Chaos by hand, off."""

    rate: float = 0.0
    dice: Random = field(factory=Random)

    async def __aenter__(self) -> None:
        await checkpoint_if_cancelled()
        if self.rate and self.dice.random() < self.rate:
            raise OpenError

    async def __aexit__(self, *_: object) -> None:
        pass


def calm_by_hand(calls: int) -> Body:
    """Calls through chaos that is off, as it nearly always is.

    Ours: ``async with chaos:`` around a call that succeeds.
    Limit: a class of two methods that looks at a number.
    Fair: both are cancellation points. The limit counts nothing, knows no drill, and cannot be off again in the next run.
    """
    chaos = Switch()

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async with chaos:
                done += await one()
        return done

    return body


def calm(calls: int) -> Body:
    chaos = Chaos("bench", ChaosPolicy(rate=0.5, errors=OpenError))

    async def body() -> int:
        done = 0
        for _ in range(calls):
            async with chaos:
                done += await one()
        return done

    return body


# ---------------------------------------------------------------- R12


async def fails() -> int:
    raise OpenError


def instead_by_hand(calls: int) -> Body:
    """Calls that fail, and get another value.

    Ours: ``await fallback.call(fails)``.
    Limit: ``try`` and ``except`` around the call.
    Fair: both raise and catch one exception per call. The limit asks no group what is in it, and nobody can be told.
    """

    async def body() -> int:
        done = 0
        for _ in range(calls):
            try:
                done += await fails()
            except Exception:  # noqa: BLE001 - as a fallback for everything does
                done += 1
        return done

    return body


def instead(calls: int) -> Body:
    fallback = Fallback(1)

    async def body() -> int:
        done = 0
        for _ in range(calls):
            done += await fallback.call(fails)
        return done

    return body
