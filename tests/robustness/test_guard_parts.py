"""The parts all guards share: whose run it is, the permits of each task, listeners, bounds, times."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sized
from typing import Any, Never

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from agentflow_trio.errors import CircuitOpenError, GuardInUseError, GuardMisuseError
from agentflow_trio.robustness import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    Bulkhead,
    Chaos,
    ChaosPolicy,
    CircuitBreaker,
    CircuitPolicy,
    Hedge,
    HedgePolicy,
    KeyedRateLimiter,
    LoadShedder,
    OnEvent,
    RateLimiter,
    Retry,
    RetryBudget,
    RetryPolicy,
    RuleFailed,
    Timeout,
    open_pool,
)
from agentflow_trio.robustness._bounds import Bound, Number, Whole
from agentflow_trio.robustness._clock_core import seconds_until
from agentflow_trio.robustness._events import GuardEvent, LimitChanged
from agentflow_trio.robustness._guard import Guarding, Home, Listener, Member, TaskPermits
from agentflow_trio.robustness._private import (
    Look,
    PublicContext,
    find_context,
    find_look,
    look_publicly,
    probe,
    probe_context,
)

GUARD = Timeout(1.0, name="g")

EVENT = LimitChanged(guard="g", timestamp=0.0, before=1, limit=2)


# ---------------------------------------------------------------- the run it belongs to


def test_a_home_is_blank_in_every_further_run() -> None:
    home = Home()
    seen = list[bool]()

    async def use() -> None:
        seen.extend([home.move_in(GUARD), home.move_in(GUARD)])
        assert trio.lowlevel.current_root_task() is home.root

    trio.run(use)
    trio.run(use)
    assert seen == [False, False, True, False]


async def test_two_runs_at_once_are_refused_and_change_nothing() -> None:
    home = Home()
    home.move_in(GUARD)
    root = home.root

    async def other() -> None:
        home.move_in(GUARD)

    with pytest.raises(GuardInUseError, match="'g': it is in use under another run of Trio"):
        await trio.to_thread.run_sync(trio.run, other)
    assert home.root is root
    assert not home.move_in(GUARD)


def test_without_a_run_there_is_no_home() -> None:
    home = Home()
    with pytest.raises(RuntimeError, match="must be called from async context"):
        home.move_in(GUARD)

    class Early(trio.abc.Instrument):
        def before_run(self) -> None:
            with pytest.raises(RuntimeError, match="must be called from async context"):
                home.move_in(GUARD)

    trio.run(trio.lowlevel.checkpoint, instruments=[Early()])
    assert home.root is None


# ---------------------------------------------------------------- permits


async def test_permits_are_per_task_last_in_first_out() -> None:
    permits = TaskPermits[str]("g")
    order = list[str]()

    async def visitor(name: str, turn: trio.Event, then: trio.Event) -> None:
        permits.push(f"{name}1")
        permits.push(f"{name}2")
        await turn.wait()
        order.extend([permits.pop(), permits.pop()])
        then.set()

    first, second, done = trio.Event(), trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(visitor, "a", second, done)
        nursery.start_soon(visitor, "b", first, second)
        await trio.testing.wait_all_tasks_blocked()
        assert len(permits) == 4
        assert permits.around_caller() is None
        with pytest.raises(GuardMisuseError, match="left in a task that did not enter it"):
            permits.pop()
        first.set()
    assert order == ["b2", "b1", "a2", "a1"]
    assert len(permits) == 0


async def test_a_task_is_inside_a_permit_if_its_nursery_was_opened_there() -> None:
    permits = TaskPermits[str]("g")
    seen = dict[str, str | None]()

    async def look(name: str) -> None:
        seen[name] = permits.around_caller()

    async def deep() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, "grandchild")

    async with trio.open_nursery() as before:
        permits.push("outer")
        async with trio.open_nursery() as inside:
            permits.push("inner")
            async with trio.open_nursery() as innermost:
                for nursery, name in ((before, "before"), (inside, "in"), (innermost, "deep")):
                    nursery.start_soon(look, name)
                innermost.start_soon(deep)
            await look("self")
            assert permits.pop() == "inner"
        assert permits.pop() == "outer"
    assert seen == {
        "before": None,
        "in": "outer",
        "deep": "inner",
        "grandchild": "inner",
        "self": "inner",
    }
    assert permits.around_caller() is None


async def test_permits_of_another_run_are_forgotten() -> None:
    permits = TaskPermits[str]("g")
    assert permits.push("x") == "x"
    permits.clear()
    assert len(permits) == 0


# ---------------------------------------------------------------- listeners


def test_a_listener_is_told_everything() -> None:
    told = list[GuardEvent]()
    listener = Listener("g", told.append)
    assert listener.on
    listener.tell(EVENT)
    listener.tell(EVENT)
    assert told == [EVENT, EVENT]


def test_nobody_needs_to_listen() -> None:
    listener = Listener("g", None)
    listener.tell(EVENT)
    listener.start_anew()
    assert not listener.on


def test_a_listener_that_raises_is_logged_once_and_listens_again_in_the_next_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = list[GuardEvent]()

    def broken(event: GuardEvent) -> None:
        calls.append(event)
        raise ValueError("broken")

    listener = Listener("g", broken)
    with caplog.at_level(logging.ERROR):
        listener.tell(EVENT)
        listener.tell(EVENT)
    assert len(calls) == 1
    (record,) = caplog.records
    assert record.getMessage() == "on_event of guard 'g' raised and is told nothing more"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "broken"
    listener.start_anew()
    listener.tell(EVENT)
    assert len(calls) == 2


# ---------------------------------------------------------------- members


class Doorman(Guarding):
    def __init__(self) -> None:
        self.name = "doorman"
        self.seen = list[object]()

    async def __aenter__(self) -> None:
        self.seen.append("in")

    async def __aexit__(self, kind: object, error: object, trace: object, /) -> None:
        self.seen.append(error)


async def test_every_guard_can_be_called() -> None:
    async def double(number: int) -> int:
        return 2 * number

    async def fail(error: Exception) -> None:
        raise error

    doorman, error = Doorman(), ValueError()
    assert await doorman.call(double, 4) == 8
    with pytest.raises(ValueError) as caught:
        await doorman.call(fail, error)
    assert caught.value is error
    assert doorman.seen == ["in", None, "in", error]


async def test_what_a_guard_must_define() -> None:
    with pytest.raises(NotImplementedError):
        await Guarding().__aenter__()
    with pytest.raises(NotImplementedError):
        await Guarding().__aexit__(None, None, None)
    with pytest.raises(NotImplementedError):
        await Member[None]().call(trio.lowlevel.checkpoint)
    with pytest.raises(NotImplementedError):
        Bound().holds(3)


# ---------------------------------------------------------------- Trio's private parts


async def test_the_private_way_is_taken_while_it_sees_what_the_public_way_sees() -> None:
    assert find_look() is not look_publicly
    look, task = find_look(), trio.lowlevel.current_task()
    with trio.CancelScope() as scope:
        assert look(task) is not None
        scope.cancel()
        assert look(task) is None
        with trio.CancelScope(shield=True):
            assert look(task) is not None
            await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    async with trio.open_nursery():
        opened = look(task)
        assert opened is not None
        assert len(opened) == len(task.child_nurseries)


def none_at_all(task: trio.lowlevel.Task) -> Any:
    return None if look_publicly(task) is None else False


@pytest.mark.parametrize(
    "private",
    [
        lambda task: task.child_nurseries,
        lambda _: None,
        lambda task: look_publicly(task) and [*task.child_nurseries, None],
        none_at_all,
        lambda task: task.nothing,
    ],
    ids=["never cancelled", "always cancelled", "nurseries", "no list", "no name"],
)
async def test_if_trio_changed_the_public_way_is_taken(private: Look) -> None:
    async with trio.open_nursery():  # which they must see
        assert probe(private, trio.lowlevel.current_task()) is look_publicly


async def test_a_status_that_sees_no_shield_is_not_taken() -> None:
    task = trio.lowlevel.current_task()
    seen = list[bool]()

    def without_shields(task: trio.lowlevel.Task) -> Sized | None:
        seen.append(look_publicly(task) is None or any(seen))
        return None if seen[-1] else task.child_nurseries

    assert probe(without_shields, task) is look_publicly
    assert seen == [False, True, True]


async def test_the_running_task_is_found_where_trio_keeps_it() -> None:
    assert not isinstance(find_context(), PublicContext)
    seen = list[bool]()

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        seen.append(find_context().task is trio.lowlevel.current_task())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.to_thread.run_sync(trio.run, look)
        await look()
    assert seen == [True, True, True]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("trio.nowhere", "CONTEXT"),
        ("trio", "CONTEXT"),
        ("trio", "run"),
        (__name__, "ELSEWHERE"),
    ],
    ids=["no module", "no name", "no task", "another task"],
)
async def test_if_it_is_not_there_trio_is_asked(module: str, name: str) -> None:
    found = probe_context(module, name)
    assert isinstance(found, PublicContext)
    assert found.task is trio.lowlevel.current_task()


class Elsewhere:
    """Finds no running task."""

    task: None = None


ELSEWHERE = Elsewhere()


# ---------------------------------------------------------------- bounds


@attrs.frozen(kw_only=True)
class Settings:
    """Any policy."""

    times: int | None = attrs.field(default=1, validator=Whole(1))
    most: int | None = attrs.field(default=None, validator=Whole(0, optional=True))
    wait: float = attrs.field(default=1.0, validator=Number())
    span: float | None = attrs.field(default=1.0, validator=Number(above=0.0))
    limit: float = attrs.field(default=1.0, validator=Number(above=0.0, at_most=math.inf))
    share: float | None = attrs.field(
        default=None, validator=Number(what="", at_most=1.0, optional=True)
    )


@pytest.mark.parametrize(
    ("field", "wrong", "must_be"),
    [
        ("times", 0, "a whole number >= 1"),
        ("times", True, "a whole number >= 1"),
        ("times", 1.0, "a whole number >= 1"),
        ("times", None, "a whole number >= 1"),
        ("most", -1, "a whole number >= 0 or None"),
        ("wait", -0.1, "a number of seconds >= 0 and finite"),
        ("wait", math.nan, "a number of seconds >= 0 and finite"),
        ("wait", math.inf, "a number of seconds >= 0 and finite"),
        ("wait", True, "a number of seconds >= 0 and finite"),
        ("wait", "1", "a number of seconds >= 0 and finite"),
        ("span", 0, "a number of seconds > 0 and finite"),
        ("span", math.nan, "a number of seconds > 0 and finite"),
        ("span", None, "a number of seconds > 0 and finite"),
        ("limit", 0.0, "a number of seconds > 0"),
        ("limit", math.nan, "a number of seconds > 0"),
        ("share", 1.01, "a number >= 0 and <= 1 or None"),
        ("share", math.nan, "a number >= 0 and <= 1 or None"),
    ],
)
def test_nonsense_is_refused_by_field_and_bound(field: str, wrong: Any, must_be: str) -> None:
    with pytest.raises(ValueError) as caught:
        Settings(**{field: wrong})
    assert str(caught.value) == f"Settings: {field} must be {must_be}, not {wrong!r}"


def test_what_is_within_is_taken() -> None:
    Settings(times=1, most=0, wait=0, span=5e-324, limit=math.inf, share=1)
    Settings(most=None, share=0.0)
    Whole(2).check("g", "limit", 2)


# ---------------------------------------------------------------- times

times = st.floats(0, 1e9)


@given(now=times, ahead=times)
def test_who_sleeps_that_long_is_there(now: float, ahead: float) -> None:
    when = now + ahead
    seconds = seconds_until(when, now)
    assert now + seconds >= when
    assert seconds == 0.0 or now + math.nextafter(seconds, 0.0) <= when


def test_times_gone_by_are_now() -> None:
    assert seconds_until(3.0, 5.0) == 0.0
    assert seconds_until(5.0, 3.0) == 2.0


def test_a_difference_that_was_rounded_down() -> None:
    now, when = 2.0**-53, 1.5 + 2.0**-52
    assert now + (when - now) < when
    assert now + seconds_until(when, now) >= when


# ---------------------------------------------------------------- rules that fail


class WordlessError(Exception):
    @override
    def __str__(self) -> str:
        raise RuntimeError("no words")


def wordless(_: object) -> Never:
    raise WordlessError


@pytest.mark.parametrize(
    "make",
    [
        lambda tell: AdaptiveLimit("g", AdaptiveLimitPolicy(record=wordless), on_event=tell),
        lambda tell: CircuitBreaker("g", CircuitPolicy(record=wordless), on_event=tell),
        lambda tell: Hedge(HedgePolicy(after=1.0, on=wordless), name="g", on_event=tell),
        lambda tell: Retry(RetryPolicy(on=wordless), name="g", on_event=tell),
    ],
    ids=["adaptive limit", "breaker", "hedge", "retry"],
)
async def test_a_rule_that_fails_without_words_is_told_and_costs_the_body_nothing(
    make: Callable[[OnEvent], Member[Never]],
) -> None:
    told = list[GuardEvent]()

    async def fail() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await make(told.append).call(fail)
    (event,) = [event for event in told if isinstance(event, RuleFailed)]
    assert (event.guard, event.error, event.message) == ("g", "WordlessError", "")


async def test_a_load_that_fails_without_words_lets_everybody_in() -> None:
    told = list[GuardEvent]()
    shedder = LoadShedder("g", lambda: wordless(None), threshold=1.0, on_event=told.append)
    await shedder.call(trio.lowlevel.checkpoint)
    (event,) = told
    assert isinstance(event, RuleFailed)
    assert (event.error, event.message) == ("WordlessError", "")


# ---------------------------------------------------------------- as decorators


@pytest.mark.parametrize(
    "guard",
    [
        AdaptiveLimit("g"),
        Bulkhead("g", limit=1),
        Chaos("g", ChaosPolicy(rate=0.5, errors=OSError)),
        CircuitBreaker("g"),
        LoadShedder("g", lambda: 0.0, threshold=1.0),
        RateLimiter("g", limit=9, window=1.0),
        Timeout(1.0),
    ],
    ids=lambda guard: type(guard).__name__,
)
async def test_every_guard_can_stand_above_a_function_or_a_method(guard: Member[Never]) -> None:
    @guard
    async def double(number: int, *, plus: int = 0) -> int:
        """Twice as much."""
        return number * 2 + plus

    class Client:
        @guard
        async def get(self, number: int) -> tuple[Client, int]:
            return self, number

    client = Client()
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
    assert (await double(3, plus=1), await client.get(3)) == (7, (client, 3))


async def test_each_call_of_a_decorated_function_enters_the_guard() -> None:
    breaker = CircuitBreaker("g", CircuitPolicy(failure_threshold=2))

    @breaker
    async def fail() -> None:
        raise OSError

    for error in (OSError, OSError, CircuitOpenError):
        with pytest.raises(error):
            await fail()


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("make", "owner"),
    [
        (lambda name: Bulkhead(name, limit=1), "Bulkhead"),
        (Bulkhead, "Bulkhead"),
        (AdaptiveLimit, "AdaptiveLimit"),
        (CircuitBreaker, "CircuitBreaker"),
        (lambda name: KeyedRateLimiter(name, limit=1, window=1.0), "KeyedRateLimiter"),
        (lambda name: LoadShedder(name, lambda: 0.0, threshold=1.0), "LoadShedder"),
        (RateLimiter, "RateLimiter"),
        (lambda name: Retry(name=name), "Retry"),
        (RetryBudget, "RetryBudget"),
        (lambda name: Timeout(1.0, name=name), "Timeout"),
        (lambda name: open_pool(trio.sleep_forever, size=1, name=name), "open_pool"),
    ],
)
@pytest.mark.parametrize("wrong", [CircuitPolicy(), 3, None])
def test_a_name_that_is_no_string_is_refused(
    make: Callable[[Any], object], owner: str, wrong: object
) -> None:
    with pytest.raises(TypeError) as caught:
        make(wrong)
    assert str(caught.value) == f"{owner}: name must be a string, not {wrong!r}"
