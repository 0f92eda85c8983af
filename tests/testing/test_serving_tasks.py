"""Observers that tick while an engine is open hide no deadlock, and what they may yet cause is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

from agentflow_trio import END, Engine, Wiring, flow, step
from agentflow_trio.events import AlertEvent, ExecutionEvent
from agentflow_trio.observe import AlertRule, Alerts, MetricsCollector
from agentflow_trio.testing import DeadlockError, Program, explore, record, simulate


@attrs.define
class Parcel:
    sent: bool = False


@step
async def send(parcel: Parcel) -> None:
    await trio.sleep(2.5)
    parcel.sent = True


@flow
def sending() -> Wiring[Parcel]:
    return [send.then(END)]


def on_call(
    rule: AlertRule, body: Callable[[trio.Event], Awaitable[None]]
) -> tuple[Program[None], list[float]]:
    """A program that sends a parcel and then does what *body* says, while *rule* is looked at; when that fired."""
    fired: list[float] = []

    async def program() -> None:
        fired.clear()
        called, metrics = trio.Event(), MetricsCollector()

        def call(event: AlertEvent) -> None:
            fired.append(event.timestamp)
            called.set()

        alerts = Alerts([rule], metrics, actions={"call": call})
        async with Engine(observers=[metrics, alerts]) as engine:
            await engine.run(sending, Parcel())
            await body(called)

    return program, fired


def rule(for_: float = 0.0, condition: str = "sending.execution_count") -> AlertRule:
    return AlertRule("sent", condition, threshold=0, action="call", for_=for_)


async def stuck(_: trio.Event) -> None:
    await trio.Event().wait()


def test_a_deadlock_is_found_although_alerts_are_looked_at() -> None:
    program, fired = on_call(rule(for_=30.0), stuck)
    timeline = record(program)
    assert isinstance(timeline.error, DeadlockError)
    assert fired == [33.0]  # it may yet have had somebody go on
    assert timeline.duration == 35.0
    (alerts,) = [task for task in timeline.error.tasks if task.service]
    assert alerts.name == "agentflow observer alerts"


def test_alerts_that_are_named_have_nobody_go_on() -> None:
    program, fired = on_call(rule(for_=30.0), stuck)
    timeline = record(program, services=["agentflow observer alerts"])
    assert isinstance(timeline.error, DeadlockError)
    assert timeline.duration == 2.5
    assert not fired


def test_a_window_is_waited_for_until_it_has_passed() -> None:
    program, fired = on_call(rule(condition="rate(sending.execution_count[5m])"), stuck)
    assert record(program).duration == 305.0
    assert fired == [3.0, 303.0]


@pytest.mark.parametrize("for_", [0.0, 60.0, 3_000.0])
def test_whom_an_alert_wakes_was_not_stuck(for_: float) -> None:
    program, fired = on_call(rule(for_=for_), trio.Event.wait)
    timeline = record(program)
    assert timeline.error is None
    assert fired == [3.0 + for_]
    assert timeline.duration == 3.0 + for_


def test_a_search_finds_it_in_every_schedule() -> None:
    program, _ = on_call(rule(), stuck)
    (failure,) = explore(program, seeds=3).failures
    assert isinstance(failure.error, DeadlockError)


def test_where_the_order_is_left_to_trio_it_is_found_too() -> None:
    program, _ = on_call(rule(), stuck)
    with simulate(program, control="time") as sim, pytest.raises(DeadlockError):
        sim.run()


class Ticker:
    """An observer of ones own: ticks, with a task besides, and once in a while lets somebody go on."""

    name = "ticker"

    def __init__(self, act: Callable[[], object], every: int) -> None:
        self._act = act
        self._every = every

    def observe(self, event: ExecutionEvent, /) -> None: ...

    async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            await trio.sleep_forever()

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await trio.sleep(60)
            ticks += 1
            if ticks % self._every == 0:
                self._act()


def test_any_observer_is_given_an_hour() -> None:
    def program(every: int) -> Program[float]:
        async def waits() -> float:
            event = trio.Event()
            async with Engine(observers=[Ticker(event.set, every)]):
                await event.wait()
                return trio.current_time()

        return waits

    assert record(program(59)).result == 59 * 60
    late = record(program(62))
    assert isinstance(late.error, DeadlockError)
    assert late.duration == 3_600.0


def test_what_is_to_be_done_is_waited_for() -> None:
    came = trio.Event()

    async def waits() -> float:
        nonlocal came
        came = trio.Event()
        async with Engine(observers=[Ticker(dict, 1)]):
            await came.wait()
            return trio.current_time()

    def come() -> None:
        came.set()

    assert record(waits).fork(at=3_599.0, doing=come).result == 3_599.0
