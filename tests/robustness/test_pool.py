"""What a resource pool promises in Trio: objects are lent, kept fit and closed, whatever happens to whom."""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self

import attrs
import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from agentflow_trio.errors import (
    GuardInUseError,
    GuardMisuseError,
    GuardReentryError,
    PoolClosedError,
    PoolExhaustedError,
)
from agentflow_trio.robustness import (
    GuardEvent,
    OpenPool,
    PoolPolicy,
    ResourcePool,
    open_pool,
)
from agentflow_trio.testing import (
    Cut,
    assert_no_leaks,
    cancel_everywhere,
    cancel_with,
)


@attrs.define(eq=False)
class Conn:
    """A thing to be lent. It knows who uses it."""

    number: int
    users: int = 0
    closed: int = 0
    fit: bool = True

    async def __aenter__(self) -> Self:
        assert not self.closed
        self.users += 1
        assert self.users == 1, "two at once"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.users -= 1


@attrs.define(eq=False)
class Server:
    """Makes connections, and closes them; each takes its time, and may fail.

    Attributes:
        alive: made and not closed.
        most: how many were alive, being made or being closed at once, at most.
    """

    connecting: float = 0.0
    closing: float = 0.0
    refuses: list[int] = attrs.field(factory=list[int])
    fails_to_close: list[int] = attrs.field(factory=list[int])
    asked: int = 0
    made: list[Conn] = attrs.field(factory=list[Conn])
    busy: int = 0
    most: int = 0
    log: list[tuple[str, float]] = attrs.field(factory=list[tuple[str, float]])

    @property
    def alive(self) -> list[int]:
        return [conn.number for conn in self.made if not conn.closed]

    @property
    def story(self) -> list[tuple[str, float]]:
        """The log, sorted within each instant: Trio runs tasks that wake together in any order."""
        return sorted(self.log, key=lambda line: (line[1], line[0]))

    def note(self, what: str) -> None:
        self.log.append((what, trio.current_time()))

    async def connect(self) -> Conn:
        number = self.asked
        self.asked += 1
        self.busy += 1
        self.most = max(self.most, self.busy + len(self.alive))
        try:
            await trio.sleep(self.connecting)
        finally:
            self.busy -= 1
        if number in self.refuses:
            raise ConnectionError(number)
        conn = Conn(number)
        self.made.append(conn)
        return conn

    async def close(self, conn: Conn) -> None:
        assert not conn.closed
        await trio.sleep(self.closing)
        conn.closed += 1
        self.note(f"closed {conn.number}")
        if conn.number in self.fails_to_close:
            raise OSError(conn.number)


NOT_TOLD = {"guard", "run_id", "seq", "path", "duration_ms"}


def told(events: list[GuardEvent]) -> list[dict[str, Any]]:
    return [
        {"event": type(event).__name__}
        | attrs.asdict(event, filter=lambda field, _: field.name not in NOT_TOLD)
        for event in events
    ]


async def in_order(
    nursery: trio.Nursery, fn: Callable[..., Awaitable[object]], *args: object
) -> None:
    """Start a task and let it come to where it waits before the next one is started."""
    nursery.start_soon(fn, *args)
    await wait_all_tasks_blocked()


async def use(pool: ResourcePool[Conn], seconds: float, name: str, server: Server) -> None:
    try:
        async with pool.lend() as conn, conn:
            server.note(f"{name} has {conn.number}")
            await trio.sleep(seconds)
    except PoolExhaustedError as error:
        server.note(f"{name} {error.reason}")
    except PoolClosedError:
        server.note(f"{name} closed")
    except ConnectionError:
        server.note(f"{name} refused")


def counts(pool: ResourcePool[Any]) -> tuple[int, int, int, int, int]:
    told = pool.statistics()
    return told.idle, told.lent, told.making, told.closing, told.waiting


# ---------------------------------------------------------------- lending


async def test_what_is_idle_is_lent_again_and_the_owner_closes_it(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    async with open_pool(server.connect, size=3, close=server.close) as pool:
        assert server.made == []
        for _ in range(5):
            async with pool.lend() as conn:
                assert conn is server.made[0]
        assert counts(pool) == (1, 0, 0, 0, 0)
    assert server.made[0].closed == 1
    assert counts(pool) == (0, 0, 0, 0, 0)
    assert (pool.statistics().made, pool.statistics().loans) == (1, 5)


async def test_one_holder_at_a_time_never_more_than_size_and_in_order_of_arrival(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    async with (
        open_pool(server.connect, size=2, close=server.close) as pool,
        trio.open_nursery() as nursery,
    ):
        for name, seconds in zip("abcdef", (3.0, 1.0, 1.0, 4.0, 0.5, 0.5), strict=True):
            await in_order(nursery, use, pool, seconds, name, server)
    assert server.story[:6] == [
        ("a has 0", 0.0),
        ("b has 1", 0.0),
        ("c has 1", 1.0),
        ("d has 1", 2.0),
        ("e has 0", 3.0),
        ("f has 0", 3.5),
    ]
    assert server.most == 2


async def test_the_object_used_last_is_lent_first(autojump_clock: MockClock) -> None:
    server = Server()
    async with open_pool(server.connect, size=3, close=server.close) as pool:
        async with trio.open_nursery() as nursery:
            for name, seconds in zip("abc", (2.0, 3.0, 1.0), strict=True):
                await in_order(nursery, use, pool, seconds, name, server)
        server.log.clear()
        async with trio.open_nursery() as nursery:
            for name in "def":
                await in_order(nursery, use, pool, 1.0, name, server)
    assert [what for what, _ in server.log[:3]] == ["d has 1", "e has 0", "f has 2"]


async def test_lending_is_a_checkpoint_and_giving_back_is_not(
    autojump_clock: MockClock,
) -> None:
    async def make() -> Conn:  # waits for nothing
        return Conn(0)

    async with open_pool(make, size=1) as pool:
        for _ in range(2):
            loan = pool.lend()
            with assert_checkpoints():
                await loan.__aenter__()
            with trio.testing.assert_no_checkpoints():
                await loan.__aexit__(None, None, None)


async def test_opening_and_leaving_are_checkpoints(autojump_clock: MockClock) -> None:
    opening = open_pool(Server().connect, size=1)
    with assert_checkpoints():
        await opening.__aenter__()
    with assert_checkpoints():
        await opening.__aexit__(None, None, None)


async def test_a_cancelled_caller_takes_nothing(autojump_clock: MockClock) -> None:
    server = Server()
    async with open_pool(server.connect, size=1) as pool:
        with trio.CancelScope() as scope:
            scope.cancel()
            async with pool.lend():
                raise AssertionError
        assert scope.cancelled_caught
        assert server.asked == 0


async def test_a_loan_can_be_kept_and_entered_by_many(autojump_clock: MockClock) -> None:
    server = Server()
    async with open_pool(server.connect, size=2, close=server.close) as pool:
        loan = pool.lend()

        async def borrow() -> None:
            async with loan as conn, conn:
                await trio.sleep(1.0)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(borrow)
    assert trio.current_time() == 2.0
    assert server.most == 2


async def test_nowait_lends_what_is_idle_and_makes_nothing(autojump_clock: MockClock) -> None:
    server = Server()
    async with open_pool(server.connect, size=2) as pool:
        with pytest.raises(PoolExhaustedError) as caught, pool.lend_nowait():
            raise AssertionError
        assert (caught.value.guard, caught.value.reason) == ("pool", "idle")
        async with pool.lend():
            pass
        with trio.testing.assert_no_checkpoints(), pool.lend_nowait() as conn:
            assert conn is server.made[0]
            assert counts(pool) == (0, 1, 0, 0, 0)
        assert counts(pool) == (1, 0, 0, 0, 0)
        with pytest.raises(ValueError, match="x"), pool.lend_nowait():
            raise ValueError("x")
        assert counts(pool) == (0, 0, 0, 0, 0)


async def test_nowait_does_not_get_past_the_line(autojump_clock: MockClock) -> None:
    server = Server()
    async with (
        open_pool(server.connect, size=1, close=server.close) as pool,
        trio.open_nursery() as nursery,
    ):
        async with pool.lend():
            await in_order(nursery, use, pool, 1.0, "b", server)
        with pytest.raises(PoolExhaustedError), pool.lend_nowait():
            raise AssertionError
    assert server.story[0] == ("b has 0", 0.0)


# ---------------------------------------------------------------- refusing


async def test_who_waited_for_max_wait_is_refused_at_exactly_that_time(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    policy = PoolPolicy(size=1, max_wait=0.3, max_waiters=1)
    async with open_pool(server.connect, policy) as pool, trio.open_nursery() as nursery:
        await in_order(nursery, use, pool, 9.0, "a", server)
        await trio.sleep(5.3)
        await in_order(nursery, use, pool, 1.0, "b", server)
        await in_order(nursery, use, pool, 1.0, "c", server)
        await trio.sleep(1.0)
        await in_order(nursery, use, pool, 1.0, "d", server)
    assert server.story == [
        ("a has 0", 0.0),
        ("c queue", 5.3),
        ("b max_wait", 5.3 + 0.3),
        ("d max_wait", 5.3 + 1.0 + 0.3),
    ]
    assert (pool.statistics().refused, pool.statistics().cancelled) == (3, 0)


async def test_who_is_cancelled_in_line_might_as_well_never_have_come(
    autojump_clock: MockClock,
) -> None:
    server, scope = Server(), trio.CancelScope()

    async def b() -> None:
        with scope:
            await use(pool, 1.0, "b", server)

    async with open_pool(server.connect, size=1) as pool, trio.open_nursery() as nursery:
        await in_order(nursery, use, pool, 1.0, "a", server)
        await in_order(nursery, b)
        for name in "cd":
            await in_order(nursery, use, pool, 1.0, name, server)
        await trio.sleep(0.5)
        scope.cancel()
    assert server.story == [("a has 0", 0.0), ("c has 0", 1.0), ("d has 0", 2.0)]
    assert pool.statistics().cancelled == 1


# ---------------------------------------------------------------- making


async def test_objects_are_made_side_by_side_each_in_the_task_that_needs_it(
    autojump_clock: MockClock,
) -> None:
    server = Server(connecting=1.0)
    async with open_pool(server.connect, size=3) as pool, trio.open_nursery() as nursery:
        for name in "abcd":
            await in_order(nursery, use, pool, 1.0, name, server)
        assert counts(pool) == (0, 0, 3, 0, 1)
    assert server.story[:3] == [("a has 0", 1.0), ("b has 1", 1.0), ("c has 2", 1.0)]
    assert [at for _, at in server.log[3:]] == [2.0]


async def test_a_factory_that_fails_leaves_its_place_to_the_first_in_line(
    autojump_clock: MockClock,
) -> None:
    server = Server(connecting=1.0, refuses=[0, 1])
    async with open_pool(server.connect, size=1) as pool, trio.open_nursery() as nursery:
        for name in "abc":
            await in_order(nursery, use, pool, 1.0, name, server)
    assert server.story == [("a refused", 1.0), ("b refused", 2.0), ("c has 2", 3.0)]
    assert server.most == 1


async def test_a_cancelled_creation_leaves_its_place_to_the_first_in_line(
    autojump_clock: MockClock,
) -> None:
    server = Server(connecting=1.0)

    async def hurried() -> None:
        with trio.move_on_after(0.25):
            await use(pool, 1.0, "hurried", server)

    async with open_pool(server.connect, size=1) as pool, trio.open_nursery() as nursery:
        await in_order(nursery, hurried)
        await in_order(nursery, use, pool, 1.0, "b", server)
    assert server.story == [("b has 1", 1.25)]
    assert server.most == 1


async def test_max_wait_is_about_the_line_and_not_about_making(
    autojump_clock: MockClock,
) -> None:
    server = Server(connecting=5.0)
    policy = PoolPolicy(size=1, max_wait=0.0)
    async with open_pool(server.connect, policy) as pool:
        await use(pool, 1.0, "a", server)
        await use(pool, 1.0, "b", server)
    assert server.story == [("a has 0", 5.0), ("b has 0", 6.0)]


# ---------------------------------------------------------------- fitness


async def test_an_object_is_not_lent_when_it_is_max_life_old(autojump_clock: MockClock) -> None:
    server = Server()
    policy = PoolPolicy(size=1, max_life=5.0)
    async with open_pool(server.connect, policy, close=server.close) as pool:
        await use(pool, 4.5, "a", server)
        await use(pool, 0.5, "b", server)
        await use(pool, 1.0, "c", server)
    assert server.story == [
        ("a has 0", 0.0),
        ("b has 0", 4.5),
        ("c has 1", 5.0),
        ("closed 0", 5.0),
        ("closed 1", 6.0),
    ]


async def test_an_object_that_is_too_old_is_not_handed_on_either(
    autojump_clock: MockClock,
) -> None:
    server = Server(closing=2.0)
    policy = PoolPolicy(size=1, max_life=1.0)
    async with (
        open_pool(server.connect, policy, close=server.close) as pool,
        trio.open_nursery() as nursery,
    ):
        await in_order(nursery, use, pool, 1.0, "a", server)
        await in_order(nursery, use, pool, 0.5, "b", server)
        await in_order(nursery, use, pool, 0.5, "c", server)
    assert server.story == [
        ("a has 0", 0.0),
        ("b has 1", 3.0),
        ("closed 0", 3.0),
        ("c has 1", 3.5),
        ("closed 1", 6.0),
    ]
    assert server.most == 1


async def test_objects_that_lay_too_long_are_closed_at_the_next_loan(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    policy = PoolPolicy(size=3, max_idle=5.0)
    async with open_pool(server.connect, policy, close=server.close) as pool:
        async with trio.open_nursery() as nursery:
            for name, seconds in zip("abc", (1.0, 2.0, 4.0), strict=True):
                await in_order(nursery, use, pool, seconds, name, server)
        await trio.sleep(3.0)
        assert len(server.alive) == 3
        await use(pool, 1.0, "d", server)
        assert server.story[3:] == [("closed 0", 7.0), ("closed 1", 7.0), ("d has 2", 7.0)]
        assert server.alive == [2]


@pytest.mark.parametrize("raises", [False, True])
async def test_an_object_that_is_not_valid_is_not_lent(
    autojump_clock: MockClock, raises: bool
) -> None:
    def is_fit(conn: Conn) -> bool:
        if not conn.fit and raises:
            raise OSError("gone")
        return conn.fit

    server, events = Server(), list[GuardEvent]()
    async with open_pool(
        server.connect, size=2, close=server.close, validate=is_fit, on_event=events.append
    ) as pool:
        await use(pool, 1.0, "a", server)
        server.made[0].fit = False
        await use(pool, 1.0, "b", server)
        server.made[1].fit = False
        with pytest.raises(PoolExhaustedError), pool.lend_nowait():
            raise AssertionError
    assert server.story == [
        ("a has 0", 0.0),
        ("b has 1", 1.0),
        ("closed 0", 1.0),
        ("closed 1", 2.0),
    ]
    faults = [each for each in told(events) if each["event"] == "RuleFailed"]
    wrong = {"event": "RuleFailed", "error": "OSError", "message": "gone"}
    assert faults == [wrong | {"timestamp": at} for at in (1.0, 2.0)] * raises


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
async def test_after_a_body_that_failed_the_object_is_closed(
    autojump_clock: MockClock, error: BaseException
) -> None:
    server = Server()
    async with open_pool(server.connect, size=1, close=server.close) as pool:
        with pytest.raises(type(error)) as caught:
            async with pool.lend():
                raise error
        assert caught.value is error
        await use(pool, 1.0, "b", server)
        assert server.alive == [1]


async def test_after_a_body_that_was_cancelled_the_object_is_closed(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    async with open_pool(server.connect, size=1, close=server.close) as pool:
        with trio.move_on_after(1.0) as scope:
            async with pool.lend():
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert counts(pool) == (0, 0, 0, 1, 0)
        await use(pool, 1.0, "b", server)
    assert server.story == [("b has 1", 1.0), ("closed 0", 1.0), ("closed 1", 2.0)]


async def test_reusable_says_after_which_errors_an_object_is_still_good(
    autojump_clock: MockClock,
) -> None:
    asked: list[tuple[int, BaseException]] = []

    def reusable(conn: Conn, error: BaseException) -> bool:
        asked.append((conn.number, error))
        kinds: dict[type[BaseException], bool] = {ValueError: True, TypeError: False}
        return kinds[type(error)]  # KeyError for any other

    server, events = Server(), list[GuardEvent]()
    errors = [ValueError(), TypeError(), ZeroDivisionError()]
    async with open_pool(
        server.connect, size=1, close=server.close, reusable=reusable, on_event=events.append
    ) as pool:
        for error in errors:
            with pytest.raises(type(error)):
                async with pool.lend():
                    raise error
        async with pool.lend():
            pass
    assert asked == [(0, errors[0]), (0, errors[1]), (1, errors[2])]
    assert [event.error for event in events if event.event_type == "rule_failed"] == [
        "KeyError"
    ]


async def test_what_is_discarded_is_closed_when_it_comes_back(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    async with open_pool(server.connect, size=1, close=server.close) as pool:
        async with pool.lend() as conn:
            pool.discard(conn)
            assert server.alive == [0]
        with pytest.raises(GuardMisuseError, match=r"'pool'.*must be lent"):
            pool.discard(conn)
        await use(pool, 1.0, "b", server)
    assert server.story == [("b has 1", 0.0), ("closed 0", 0.0), ("closed 1", 1.0)]


# ---------------------------------------------------------------- closing


async def test_closing_counts_until_it_has_ended(autojump_clock: MockClock) -> None:
    """Never are there more than size, not even for a moment."""
    server = Server(closing=2.0)
    async with (
        open_pool(server.connect, size=1, close=server.close) as pool,
        trio.open_nursery() as nursery,
    ):
        with pytest.raises(ValueError, match="x"):
            async with pool.lend():
                raise ValueError("x")
        await in_order(nursery, use, pool, 1.0, "b", server)
        assert counts(pool) == (0, 0, 0, 1, 1)
    assert server.story == [("b has 1", 2.0), ("closed 0", 2.0), ("closed 1", 5.0)]
    assert server.most == 1


async def test_closing_is_shielded_and_takes_close_timeout_at_most(
    autojump_clock: MockClock,
) -> None:
    server, events = Server(closing=math.inf), list[GuardEvent]()
    policy = PoolPolicy(size=2, close_timeout=3.0)
    with trio.move_on_after(1.0) as scope:
        async with open_pool(
            server.connect, policy, name="db", close=server.close, on_event=events.append
        ) as pool:
            async with pool.lend():
                pass
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 4.0
    assert told(events)[1:] == [
        {
            "event": "RuleFailed",
            "timestamp": 4.0,
            "error": "DeadlineExceededError",
            "message": "close_timeout of pool 'db' (3 s) ran out",
        },
        {"event": "ResourceClosed", "timestamp": 4.0, "reason": "pool_closed", "size": 0},
    ]


async def test_objects_are_closed_side_by_side(autojump_clock: MockClock) -> None:
    server = Server(closing=2.0)
    async with (
        open_pool(server.connect, size=3, close=server.close) as pool,
        trio.open_nursery() as nursery,
    ):
        for name in "abc":
            await in_order(nursery, use, pool, 1.0, name, server)
    assert trio.current_time() == 3.0
    assert server.alive == []


async def test_a_plain_function_closes_as_well(autojump_clock: MockClock) -> None:
    closed: list[int] = []

    def close(conn: Conn) -> None:
        closed.append(conn.number)

    async with open_pool(Server().connect, size=1, close=close) as pool, pool.lend():
        pass
    assert closed == [0]


async def test_without_a_way_to_close_objects_are_let_go(autojump_clock: MockClock) -> None:
    server, events = Server(), list[GuardEvent]()
    async with open_pool(server.connect, size=1, on_event=events.append) as pool:
        with pytest.raises(ValueError, match="x"):
            async with pool.lend():
                raise ValueError("x")
        async with pool.lend() as conn:
            assert conn.number == 1
    assert [
        (event.event_type, getattr(event, "reason", ""), getattr(event, "size", None))
        for event in events
    ] == [
        ("resource_opened", "", 1),
        ("resource_closed", "broken", 0),
        ("resource_opened", "", 1),
        ("resource_closed", "pool_closed", 0),
    ]


async def test_what_closing_raises_is_told_and_in_the_end_raised(
    autojump_clock: MockClock,
) -> None:
    server, events = Server(fails_to_close=[0, 1]), list[GuardEvent]()
    # the pool is what raises
    with pytest.raises(ExceptionGroup, match="pool 'db' could not close") as caught:  # noqa: PT012
        async with open_pool(
            server.connect, size=1, name="db", close=server.close, on_event=events.append
        ) as pool:
            async with pool.lend() as conn:
                pool.discard(conn)
            await use(pool, 1.0, "b", server)
    assert [str(error) for error in caught.value.exceptions] == ["1"]
    assert [event.event_type for event in events if event.event_type == "rule_failed"] == [
        "rule_failed",
        "rule_failed",
    ]


async def test_what_closing_raises_does_not_hide_the_error_of_the_body(
    autojump_clock: MockClock,
) -> None:
    server, wrong = Server(fails_to_close=[0]), ValueError("x")
    with pytest.raises(ValueError) as caught:  # noqa: PT012 - the pool is left by it
        async with open_pool(server.connect, size=1, close=server.close) as pool:
            async with pool.lend():
                pass
            raise wrong
    assert caught.value is wrong
    assert server.alive == []


# ---------------------------------------------------------------- the owner leaves


async def test_the_owner_waits_for_what_is_lent_and_turns_away_who_waits(
    autojump_clock: MockClock,
) -> None:
    server, events = Server(connecting=1.0), list[GuardEvent]()
    async with trio.open_nursery() as nursery:
        async with open_pool(
            server.connect, size=2, close=server.close, on_event=events.append
        ) as pool:
            await in_order(nursery, use, pool, 3.0, "a", server)
            await trio.sleep(1.0)
            await in_order(nursery, use, pool, 1.0, "b", server)
            for name in "cd":
                await in_order(nursery, use, pool, 1.0, name, server)
        assert trio.current_time() == 4.0
        await use(pool, 1.0, "e", server)
        with pytest.raises(PoolClosedError, match="'pool' is not open"), pool.lend_nowait():
            raise AssertionError
    assert server.story == [
        ("a has 0", 1.0),
        ("c closed", 1.0),
        ("d closed", 1.0),
        ("b has 1", 2.0),
        ("closed 1", 3.0),
        ("closed 0", 4.0),
        ("e closed", 4.0),
    ]
    assert [event.outcome for event in events if event.event_type == "wait_end"] == [
        "rejected",
        "rejected",
    ]
    assert pool.statistics().refused == 2


async def test_an_owner_that_fails_waits_for_nobody_and_leaves_nothing_open(
    autojump_clock: MockClock,
) -> None:
    """The holder may be waiting for the owner, so what it holds is closed under its feet."""
    server = Server(closing=1.0)
    wrong = ValueError("x")
    async with trio.open_nursery() as nursery:
        with pytest.raises(ValueError) as caught:  # noqa: PT012 - the pool is left by it
            async with open_pool(server.connect, size=2, close=server.close) as pool:
                await in_order(nursery, use, pool, 5.0, "a", server)
                await trio.sleep(0.5)
                raise wrong
        assert caught.value is wrong
        assert server.alive == []
        assert trio.current_time() == 1.5
    assert trio.current_time() == 5.0
    assert server.made[0].closed == 1
    assert counts(pool) == (0, 0, 0, 0, 0)


async def test_an_owner_that_is_cancelled_while_it_waits_leaves_nothing_open(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1.0) as scope:
            async with open_pool(server.connect, size=2, close=server.close) as pool:
                await in_order(nursery, use, pool, 5.0, "a", server)
        assert scope.cancelled_caught
        assert server.story == [("a has 0", 0.0), ("closed 0", 1.0)]


async def test_what_is_made_for_a_pool_whose_owner_has_failed_is_closed(
    autojump_clock: MockClock,
) -> None:
    server = Server(connecting=2.0, closing=1.0)
    async with trio.open_nursery() as nursery:
        with pytest.raises(ValueError, match="x"):  # noqa: PT012 - the pool is left by it
            async with open_pool(server.connect, size=1, close=server.close) as pool:
                await in_order(nursery, use, pool, 5.0, "a", server)
                raise ValueError("x")
        assert trio.current_time() == 0.0
    assert server.story == [("a closed", 3.0), ("closed 0", 3.0)]
    assert counts(pool) == (0, 0, 0, 0, 0)


async def test_an_object_taken_away_before_its_heir_could_run_is_not_given_to_it(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        with pytest.raises(ValueError, match="x"):  # noqa: PT012 - the pool is left by it
            async with open_pool(server.connect, size=1, close=server.close) as pool:
                async with pool.lend():
                    await in_order(nursery, use, pool, 5.0, "b", server)
                raise ValueError("x")  # b has been given it, and has not run
    assert server.story == [("b closed", 0.0), ("closed 0", 0.0)]


async def test_an_object_taken_away_while_its_borrower_is_on_the_way_is_not_given_to_it(
    autojump_clock: MockClock,
) -> None:
    """Owner and borrower run in the same batch, in an order that Trio rolls dice for: both come up."""

    async def scene() -> tuple[str, ...]:
        server, begun = Server(), trio.Event()

        async def hurry() -> None:
            begun.set()
            await use(pool, 5.0, "b", server)

        async with trio.open_nursery() as nursery:
            with pytest.raises(ValueError, match="x"):  # noqa: PT012 - the pool is left by it
                async with open_pool(server.connect, size=1, close=server.close) as pool:
                    await use(pool, 1.0, "a", server)
                    nursery.start_soon(hurry)
                    await begun.wait()
                    assert counts(pool) == (0, 1, 0, 0, 0)
                    raise ValueError("x")
        assert server.made[0].closed == 1
        return tuple(sorted(what for what, _ in server.log[1:]))

    seen = {await scene() for _ in range(64)}
    assert seen == {("b closed", "closed 0"), ("b has 0", "closed 0")}


async def test_a_pool_is_opened_once(autojump_clock: MockClock) -> None:
    opening = open_pool(Server().connect, size=1, name="db")
    async with opening:
        with pytest.raises(GuardMisuseError, match=r"'db'.*opened twice"):
            async with opening:
                raise AssertionError
    with pytest.raises(GuardMisuseError, match="opened twice"):
        async with opening:
            raise AssertionError


async def test_a_pool_that_was_never_opened_cannot_be_left() -> None:
    opening: OpenPool[Conn] = open_pool(Server().connect, size=1)
    with pytest.raises(GuardMisuseError, match="without having been opened"):
        await opening.__aexit__(None, None, None)


# ---------------------------------------------------------------- cancelling


@attrs.define
class Scene:
    """A pool in use: by workers, one of which fails, one is in a hurry, and objects age."""

    server: Server
    pool: ResourcePool[Conn] | None = None

    async def play(self) -> None:
        policy = PoolPolicy(size=2, max_wait=2.5, max_life=3.5)
        async with open_pool(self.server.connect, policy, close=self.server.close) as pool:
            self.pool = pool
            async with trio.open_nursery() as nursery:
                for seconds in (1.0, 0.5, 1.5, 1.0, 0.5):
                    nursery.start_soon(use, pool, seconds, "x", self.server)
                nursery.start_soon(self.hurry, pool)
                nursery.start_soon(self.fail, pool)

    async def hurry(self, pool: ResourcePool[Conn]) -> None:
        with trio.move_on_after(1.25):
            await use(pool, 5.0, "hurried", self.server)

    async def fail(self, pool: ResourcePool[Conn]) -> None:
        with suppress(LookupError, PoolExhaustedError, PoolClosedError):
            async with pool.lend() as conn, conn:
                await trio.sleep(0.25)
                raise LookupError


def test_cancelled_anywhere_every_object_is_closed_once() -> None:
    servers: list[Server] = []

    async def program() -> None:
        scene = Scene(Server(connecting=0.25, closing=0.25))
        servers.append(scene.server)
        try:
            with assert_no_leaks():
                await scene.play()
        finally:
            if scene.pool is not None:
                assert counts(scene.pool) == (0, 0, 0, 0, 0)

    def check(_: Cut[None]) -> None:
        server = servers[-1]
        assert server.alive == []
        assert server.busy == 0
        assert server.most <= 2
        assert all(conn.closed == 1 for conn in server.made)

    assert cancel_everywhere(program, check=check) > 30


def test_cancelled_anywhere_inside_the_pool_nothing_is_lost() -> None:
    """The owner goes on: what a cancelled nursery of workers had borrowed can be borrowed again."""
    policy = PoolPolicy(size=2, max_idle=10.0)

    async def work(pool: ResourcePool[Conn], server: Server) -> None:
        with trio.CancelScope() as scope:
            cancel_with(scope.cancel)
            async with trio.open_nursery() as nursery:
                for seconds in (1.0, 0.5, 1.5):
                    nursery.start_soon(use, pool, seconds, "x", server)
        told = pool.statistics()
        assert (told.lent, told.making, told.waiting) == (0, 0, 0)
        assert len(server.alive) == told.idle + told.closing

    async def program() -> None:
        server = Server(connecting=0.25, closing=0.25)
        async with open_pool(server.connect, policy, close=server.close) as pool:
            await work(pool, server)
            # and all places are there
            async with trio.open_nursery() as nursery:
                for name in "ab":
                    await in_order(nursery, use, pool, 1.0, name, server)
                await trio.sleep(0.6)
                assert counts(pool)[1] == 2
        assert server.alive == []
        assert server.most == 2

    assert cancel_everywhere(program) > 10


# ---------------------------------------------------------------- nesting, other tasks, other runs


async def test_borrowing_twice_in_one_task_says_so_instead_of_waiting_for_itself(
    autojump_clock: MockClock,
) -> None:
    async def child() -> None:
        with pytest.raises(GuardReentryError):
            async with pool.lend():
                raise AssertionError

    async with open_pool(Server().connect, size=3, name="db") as pool, pool.lend():
        with pytest.raises(GuardReentryError, match="'db'"):
            async with pool.lend():
                raise AssertionError
        with pytest.raises(GuardReentryError), pool.lend_nowait():
            raise AssertionError
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        assert counts(pool) == (0, 1, 0, 0, 0)


async def test_a_factory_that_borrows_from_its_own_pool_says_so(
    autojump_clock: MockClock,
) -> None:
    async def make() -> Conn:
        async with pool.lend():
            raise AssertionError

    async with open_pool(make, size=3) as pool:
        with pytest.raises(GuardReentryError):
            async with pool.lend():
                raise AssertionError
        assert counts(pool) == (0, 0, 0, 0, 0)


async def test_given_back_by_a_task_that_did_not_borrow_changes_nothing(
    autojump_clock: MockClock,
) -> None:
    async def stranger() -> None:
        with pytest.raises(GuardMisuseError, match="did not enter it"):
            await pool.lend().__aexit__(None, None, None)

    async with (
        open_pool(Server().connect, size=1) as pool,
        trio.open_nursery() as nursery,
        pool.lend(),
    ):
        await in_order(nursery, stranger)
        assert counts(pool) == (0, 1, 0, 0, 0)


async def test_a_pool_of_another_run_is_refused() -> None:
    found: list[type[BaseException]] = []

    async with open_pool(Server().connect, size=1) as pool:

        async def lend() -> None:
            async with pool.lend():
                raise AssertionError

        async def lend_nowait() -> None:
            with pool.lend_nowait():
                raise AssertionError

        def elsewhere() -> None:
            for main in (lend, lend_nowait):
                try:
                    trio.run(main)
                except GuardInUseError as error:
                    found.append(type(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await trio.to_thread.run_sync(thread.join)
    assert found == [GuardInUseError, GuardInUseError]


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be a whole number >= 1, not 0"),
        ({"max_waiters": -1}, "max_waiters must be a whole number >= 0 or None, not -1"),
        ({"max_wait": math.nan}, "max_wait must be a number of seconds >= 0, not nan"),
        ({"max_idle": 0.0}, "max_idle must be a number of seconds > 0, not 0.0"),
        ({"max_life": -1}, "max_life must be a number of seconds > 0, not -1"),
        (
            {"close_timeout": math.inf},
            "close_timeout must be a number of seconds > 0 and finite, not inf",
        ),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        PoolPolicy(**({"size": 1} | settings))
    assert str(caught.value) == f"PoolPolicy: {message}"


def test_a_policy_is_a_value() -> None:
    policy: Any = PoolPolicy(size=3)
    assert policy == PoolPolicy(
        size=3,
        max_waiters=None,
        max_wait=math.inf,
        max_idle=math.inf,
        max_life=math.inf,
        close_timeout=5.0,
    )
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy.size = 4


def test_what_cannot_be_opened_is_said_at_once() -> None:
    opening: Any = open_pool
    with pytest.raises(TypeError, match="factory must be a function, not 3"):
        opening(3, size=1)
    for wrong in ({}, {"policy": PoolPolicy(size=1), "size": 2}):
        settings: dict[str, Any] = dict(wrong)
        policy = settings.pop("policy", None)
        with pytest.raises(TypeError, match="either size= or a PoolPolicy"):
            opening(Server().connect, *([policy] if policy else []), **settings)
    with pytest.raises(ValueError, match="size must be a whole number >= 1, not 0"):
        opening(Server().connect, size=0)


async def test_every_event_is_told_in_order_with_its_time(autojump_clock: MockClock) -> None:
    events: list[GuardEvent] = []
    server = Server(connecting=0.5, closing=0.25)
    policy = PoolPolicy(size=1, max_wait=2.0, max_waiters=1)
    async with (
        open_pool(
            server.connect, policy, name="db", close=server.close, on_event=events.append
        ) as pool,
        trio.open_nursery() as nursery,
    ):
        await in_order(nursery, use, pool, 1.0, "a", server)
        await in_order(nursery, use, pool, 5.0, "b", server)
        await in_order(nursery, use, pool, 1.0, "c", server)
        await trio.sleep(2.0)
        await in_order(nursery, use, pool, 1.0, "d", server)
    assert {event.guard for event in events} == {"db"}
    assert told(events) == [
        {"event": "WaitStarted", "timestamp": 0.0, "waiting": 1},
        {"event": "CallRejected", "timestamp": 0.0, "reason": "queue", "retry_after": None},
        {"event": "ResourceOpened", "timestamp": 0.5, "size": 1},
        {"event": "WaitEnded", "timestamp": 1.5, "outcome": "admitted", "waited": 1.5},
        {"event": "WaitStarted", "timestamp": 2.0, "waiting": 1},
        {"event": "WaitEnded", "timestamp": 4.0, "outcome": "rejected", "waited": 2.0},
        {"event": "CallRejected", "timestamp": 4.0, "reason": "max_wait", "retry_after": None},
        {"event": "ResourceClosed", "timestamp": 6.75, "reason": "pool_closed", "size": 0},
    ]
    assert (pool.name, pool.policy) == ("db", policy)


@pytest.mark.parametrize("kind", ["resource_closed", "rule_failed"])
async def test_a_listener_may_cancel_who_has_just_been_served(
    autojump_clock: MockClock, kind: str
) -> None:
    heirs, server = trio.CancelScope(), Server()

    def cancel(event: GuardEvent) -> None:
        if event.event_type == kind:
            heirs.cancel()

    def never(conn: Conn) -> bool:
        raise LookupError(conn)

    async def heir() -> None:
        with heirs:
            await use(pool, 1.0, "heir", server)

    async with (
        open_pool(server.connect, size=1, validate=never, on_event=cancel) as pool,
        trio.open_nursery() as nursery,
    ):
        await in_order(nursery, use, pool, 1.0, "a", server)
        await in_order(nursery, heir)
    assert heirs.cancelled_caught
    assert [line for line in server.story if line[0].startswith("heir")] == []
    assert counts(pool) == (0, 0, 0, 0, 0)


async def test_a_check_may_cancel_who_waits(autojump_clock: MockClock) -> None:
    waits, server = trio.CancelScope(), Server()

    def check(_: Conn) -> bool:
        waits.cancel()
        return True

    async def wait() -> None:
        with waits:
            await use(pool, 1.0, "b", server)

    async with open_pool(server.connect, size=1, validate=check) as pool:
        async with trio.open_nursery() as nursery:
            await in_order(nursery, use, pool, 1.0, "a", server)
            await in_order(nursery, wait)
        assert server.story == [("a has 0", 0.0)]
        assert counts(pool) == (1, 0, 0, 0, 0)


async def test_a_listener_may_borrow(autojump_clock: MockClock) -> None:
    """Told of the first of two objects that are closed, it finds that nothing lies ready: each is closed once."""
    server, refused = Server(), list[str]()

    def borrow(event: GuardEvent) -> None:
        if event.event_type == "resource_closed" and event.reason == "max_idle":
            try:
                with pool.lend_nowait():
                    raise AssertionError
            except (PoolExhaustedError, GuardReentryError) as error:
                refused.append(type(error).__name__)

    policy = PoolPolicy(size=3, max_idle=1.0)
    async with open_pool(server.connect, policy, on_event=borrow) as pool:
        async with trio.open_nursery() as nursery:
            for name in "ab":
                await in_order(nursery, use, pool, 1.0, name, server)
        await trio.sleep(1.0)
        await use(pool, 1.0, "c", server)
        assert refused == ["PoolExhaustedError", "PoolExhaustedError"]
        assert counts(pool) == (1, 0, 0, 0, 0)
