"""Alerts are told within a second, once each, and acted upon; nothing that an action does harms anybody."""

from __future__ import annotations

import functools
import gc
from typing import Any

import attrs
import pytest
import trio
from alerts_kit import ended, lines, watched
from trio.testing import MockClock

from agentflow_trio.events import AlertEvent, AlertFired, AlertResolved, ObserverFailed
from agentflow_trio.observe import (
    AlertRule,
    AlertRulesError,
    Alerts,
    AlertsInUseError,
    AlertsStatistics,
    MetricsCollector,
)
from agentflow_trio.ports import BackgroundObserver, SelectiveObserver


def rule(condition: str, threshold: float = 0.0, **fields: Any) -> AlertRule:
    return AlertRule(**{
        "name": "r",
        "condition": condition,
        "threshold": threshold,
        "action": "note",
        **fields,
    })


def noting(metrics: MetricsCollector, *rules: AlertRule, **options: Any) -> Alerts:
    """Alerts whose one action does nothing."""
    return Alerts(rules, metrics, **{"actions": {"note": lambda _: None}, **options})


def test_it_is_an_observer_that_wants_no_events_and_has_a_task() -> None:
    alerts = noting(MetricsCollector())
    assert isinstance(alerts, BackgroundObserver)
    assert isinstance(alerts, SelectiveObserver)
    assert list(alerts.wants) == []
    fired = AlertFired(
        alert="r", severity="w", condition="c", value=1.0, threshold=0.0, timestamp=0.0
    )
    alerts.observe(fired)
    assert alerts.name == "alerts"
    assert alerts.statistics() == AlertsStatistics(0, 0, 0, 0, 0, 0)


async def test_an_alert_fires_within_a_second_and_is_resolved_within_one(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    alerts = noting(metrics, rule("rate(editing.error_count[10s])", 0.15))
    async with watched(alerts) as told:
        await trio.sleep(3.5)
        ended(metrics, times=1)
        await trio.sleep(1.25)
        ended(metrics, times=1)
        await trio.sleep(15.0)
    # Two within ten seconds from 4.75 on, seen at 5; the first is out of the window at 14.
    assert lines(told) == ["5: r fired at 0.2", "14: r resolved at 0.1"]
    fired, resolved = (event for _, event in told)
    assert isinstance(fired, AlertFired)
    assert isinstance(resolved, AlertResolved)
    assert attrs.asdict(fired) == {
        "run_id": "",
        "seq": -1,
        "path": "",
        "timestamp": fired.timestamp,
        "duration_ms": None,
        "alert": "r",
        "severity": "warning",
        "condition": "rate(editing.error_count[10s])",
        "threshold": 0.15,
        "value": 0.2,
    }
    assert resolved.duration_ms == pytest.approx(9000.0)
    assert resolved.timestamp == pytest.approx(fired.timestamp + 9.0)
    assert (resolved.severity, resolved.condition) == (fired.severity, fired.condition)
    assert resolved.threshold == 0.15


async def test_what_is_so_when_the_engine_opens_is_told_at_once(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    ended(metrics, times=3)
    counted = rule("editing.error_count", 2.0, name="counted")
    grown = rule("increase(editing.error_count[60s])", name="grown")
    alerts = noting(metrics, counted, grown)
    ended(metrics)  # after the alerts were made, before anybody looks
    async with watched(alerts) as told:
        await trio.sleep(61.0)
    assert lines(told) == [
        "0: counted fired at 4.0",
        "0: grown fired at 1.0",
        "60: grown resolved at 0.0",  # it counts as of the first look
    ]


async def test_a_condition_must_hold_without_a_break_for_as_long_as_the_rule_asks(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    alerts = noting(metrics, rule("increase(editing.error_count[2s])", for_=3.0))
    async with watched(alerts) as told:
        await trio.sleep(0.5)
        ended(metrics)  # holds at 1 and 2, not at 3
        await trio.sleep(0.75)
        assert alerts.statistics().pending == 1
        await trio.sleep(3.25)
        assert alerts.statistics().pending == 0
        for _ in range(3):  # 4.5, 5.5, 6.5: holds from 5 on
            ended(metrics)
            await trio.sleep(1.0)
        await trio.sleep(10.0)
    assert lines(told) == ["8: r fired at 1.0", "9: r resolved at 0.0"]


async def test_hysteresis_spares_the_one_who_is_called(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()
    share = "increase(editing.error_count[4s]) / increase(editing.execution_count[4s])"
    alerts = noting(
        metrics,
        rule(share, 0.5, name="nervous"),
        rule(share, 0.5, name="calm", resolve_below=0.2),
    )
    async with watched(alerts) as told:
        await trio.sleep(0.5)
        for error in (True, True, False, False, True, True, False, False, False, False):
            ended(metrics, "error" if error else "success")
            await trio.sleep(1.0)
    assert lines(told) == [
        "1: nervous fired at 1.0",
        "1: calm fired at 1.0",
        "4: nervous resolved at 0.5",
        "10: calm resolved at 0.0",
    ]


async def test_without_traffic_there_is_no_share_of_errors_and_no_alert(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    share = "rate(editing.error_count[5s]) / rate(editing.execution_count[5s])"
    alerts = noting(metrics, rule(share, 0.5), rule(share, 0.5, name="few", op="<"))
    async with watched(alerts) as told:
        await trio.sleep(2.5)
        assert told == []
        ended(metrics)
        await trio.sleep(9.0)
    assert lines(told) == ["3: r fired at 1.0", "8: r resolved at None"]
    assert alerts.firing() == ()


async def test_the_slowest_calls_of_late_are_looked_at_in_milliseconds(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector(buckets=(1.0, 2.0, 4.0))
    ended(metrics, seconds=3.0, times=100)  # before anybody was interested
    alerts = noting(metrics, rule("p50(editing.duration_ms[5s])", 1000.0))
    async with watched(alerts) as told:
        await trio.sleep(0.5)
        ended(metrics, seconds=0.5, times=2)
        await trio.sleep(1.0)
        ended(metrics, seconds=1.5, times=4)
        await trio.sleep(8.0)
    # Of 2 up to 1 s and 4 up to 2 s the third is a quarter into the second bucket; at 6, all are there.
    assert lines(told) == ["2: r fired at 1250.0", "7: r resolved at None"]


async def test_quantiles_are_of_what_was_seen_since_the_alerts_were_made(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector(buckets=(1.0, 2.0))
    alerts = noting(metrics, rule("p95(editing.duration_ms[5s])", 1500.0))
    async with watched(alerts) as told:
        await trio.sleep(0.5)
        ended(metrics, seconds=1.75)
        await trio.sleep(2.0)
    assert lines(told) == ["1: r fired at 1950.0"]


async def test_values_of_gauges_that_nobody_set_are_no_data(autojump_clock: MockClock) -> None:
    metrics = MetricsCollector()
    alerts = noting(
        metrics,
        rule("editing.active", 1.0, op="<", name="gauge"),
        rule("editing.error_count", 1.0, op="<", name="count"),
    )
    async with watched(alerts) as told:
        await trio.sleep(2.5)
    assert lines(told) == ["0: count fired at 0.0"]


async def test_looks_are_at_most_a_second_apart_and_may_be_closer(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    alerts = noting(metrics, rule("editing.error_count"), every=0.25)
    async with watched(alerts) as told:
        await trio.sleep(1.1)
        ended(metrics)
        await trio.sleep(1.0)
    assert lines(told) == ["1.25: r fired at 1.0"]


async def test_looks_missed_while_the_loop_stood_still_are_left_out(
    mock_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    looks: list[float] = []

    class Counting:
        def get_metric(self, name: str, /) -> float | None:
            looks.append(trio.current_time() - begin)
            return metrics.get_metric(name)

        def get_histogram(self, name: str, /) -> None:
            raise AssertionError

    begin = trio.current_time()
    async with watched(Alerts([rule("editing.error_count", action="log")], Counting())):
        for jump in (1.0, 3.5, 0.25, 0.25, 1.0):
            mock_clock.jump(jump)
            await trio.testing.wait_all_tasks_blocked()
    assert [round(time, 6) for time in looks] == [0.0, 1.0, 4.5, 5.0, 6.0, 6.0], (
        "and in the end"
    )


@pytest.mark.parametrize("begin", [1.3, 0.1, 4.7, 1e6 + 0.7])
async def test_no_rounding_of_the_clock_makes_it_look_twice(
    autojump_clock: MockClock, begin: float
) -> None:
    looks: list[float] = []

    class Counting:
        def get_metric(self, name: str, /) -> float | None:
            looks.append(trio.current_time())
            assert len(looks) <= 20
            return None

        def get_histogram(self, name: str, /) -> None:
            raise AssertionError

    assert (2.3 - 1.3) // 1.0 == 0.0  # what it is about
    await trio.sleep(begin)
    async with watched(Alerts([rule("editing.error_count", action="log")], Counting())):
        await trio.sleep(10.5)
    assert looks == pytest.approx([begin + second for second in (*range(11), 10.5)])


# ---------------------------------------------------------------- actions


async def test_an_action_is_called_with_the_event_after_observers_were_told(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    order: list[str] = []

    def page(event: AlertEvent) -> None:
        order.append(f"page {event.event_type} {event.alert}")

    alerts = Alerts(
        [rule("increase(editing.error_count[2s])", action="page")],
        metrics,
        actions={"page": page},
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alerts.watch, lambda event: order.append(event.event_type))
        await trio.sleep(0.5)
        ended(metrics)
        await trio.sleep(5.0)
        nursery.cancel_scope.cancel()
    assert order == [
        "alert_fired",
        "page alert_fired r",
        "alert_resolved",
        "page alert_resolved r",
    ]


async def test_an_action_that_raises_is_told_once_for_each_alert_and_called_again(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    called: list[str] = []

    def broken(event: AlertEvent) -> None:
        called.append(event.alert)
        raise ValueError("no line")

    rules = [
        rule("increase(editing.error_count[2s])", action="page", name=name)
        for name in ("a", "b")
    ]
    alerts = Alerts(rules, metrics, actions={"page": broken})
    async with watched(alerts) as told:
        await trio.sleep(0.5)
        ended(metrics)
        await trio.sleep(5.0)
    assert called == ["a", "b", "a", "b"]
    failed = [event for _, event in told if isinstance(event, ObserverFailed)]
    assert [(event.observer, event.reason) for event in failed] == [
        ("alerts", "action 'page' of alert 'a' raised ValueError: no line"),
        ("alerts", "action 'page' of alert 'b' raised ValueError: no line"),
    ]
    assert lines(told) == [
        "1: a fired at 1.0",
        "1: observer_failed",
        "1: b fired at 1.0",
        "1: observer_failed",
        "3: a resolved at 0.0",
        "3: b resolved at 0.0",
    ]
    assert (failed[0].run_id, failed[0].seq, failed[0].path) == ("", -1, "")
    assert failed[0].timestamp == pytest.approx(trio.current_time() - 4.5)
    assert alerts.statistics() == AlertsStatistics(
        rules=2, pending=0, firing=0, fired=2, resolved=2, failures=4
    )


async def test_an_action_that_hands_out_a_coroutine_is_told_as_one_that_failed(
    autojump_clock: MockClock,
) -> None:
    async def page() -> None:
        raise AssertionError

    metrics = MetricsCollector()
    alerts = Alerts(
        [rule("editing.error_count", action="page")],
        metrics,
        actions={"page": lambda _: page()},
    )
    ended(metrics)
    async with watched(alerts) as told:
        pass
    (failed,) = (event for _, event in told if isinstance(event, ObserverFailed))
    assert failed.reason == (
        "action 'page' of alert 'r' raised TypeError: it returned a coroutine, which nobody awaits"
    )
    gc.collect()  # no warning of a coroutine that was never awaited


async def test_the_action_log_writes_one_record_for_each_event(
    autojump_clock: MockClock,
) -> None:
    written: list[tuple[int, str, dict[str, object]]] = []

    class Logger:
        def log(self, level: int, event: str, **fields: object) -> None:
            written.append((level, event, fields))

    metrics = MetricsCollector()
    logged = rule("increase(editing.error_count[2s])", action="log", name="errors")
    alerts = Alerts([logged], metrics, logger=Logger())
    async with watched(alerts):
        ended(metrics)
        await trio.sleep(5.0)
    assert [(level, event) for level, event, _ in written] == [
        (30, "alert_fired"),
        (20, "alert_resolved"),
    ]
    assert [fields["value"] for _, _, fields in written] == [1.0, 0.0]
    fields = written[0][2]
    assert (fields["alert"], fields["value"], fields["threshold"]) == ("errors", 1.0, 0.0)


def test_log_can_be_another_action() -> None:
    metrics = MetricsCollector()
    Alerts([rule("editing.error_count", action="log")], metrics, actions={"log": print})


# ---------------------------------------------------------------- what is refused


def test_rules_that_do_not_go_together_are_refused_all_at_once() -> None:
    one = rule("editing.error_count", action="page")
    with pytest.raises(AlertRulesError) as caught:
        Alerts([one, one], MetricsCollector(), actions={"mail": print})
    assert [str(problem) for problem in caught.value.problems] == [
        (
            "rule 'r', action: there is no action 'page'; write 'log' or 'mail', "
            "or pass actions={'page': a function}"
        ),
        "rule 'r', name: another rule has that name, too; give each its own",
        (
            "rule 'r', action: there is no action 'page'; write 'log' or 'mail', "
            "or pass actions={'page': a function}"
        ),
    ]


def test_an_action_is_a_plain_function() -> None:
    async def page(event: AlertEvent) -> None:
        raise AssertionError

    class Pager:
        async def __call__(self, event: AlertEvent) -> None:
            raise AssertionError

    wrong: list[Any] = [page, functools.partial(page), Pager(), "page"]
    for action in wrong:
        with pytest.raises(
            TypeError, match=r"action 'page' must be a plain function of an event"
        ):
            Alerts([], MetricsCollector(), actions={"page": action})


@pytest.mark.parametrize("every", [0.0, -1.0, 1.01, float("nan"), float("inf")])
def test_looks_are_not_further_apart_than_promised(every: float) -> None:
    with pytest.raises(ValueError, match="every must be a number of seconds > 0 and <= 1, not"):
        Alerts([], MetricsCollector(), every=every)


# ---------------------------------------------------------------- engines


async def test_they_belong_to_one_engine_at_a_time(autojump_clock: MockClock) -> None:
    alerts = noting(MetricsCollector(), rule("editing.error_count"))
    async with watched(alerts):
        with pytest.raises(AlertsInUseError, match="give each engine Alerts of its own"):
            await alerts.watch(print)
        await trio.sleep(1.5)
    async with watched(alerts):
        await trio.sleep(1.5)


GROWS = rule("increase(editing.error_count[10s])", name="grows")
WAITS = rule("editing.error_count", name="waits", for_=3.0)


async def test_what_fires_when_nobody_looks_any_more_fires_on_without_an_event(
    autojump_clock: MockClock,
) -> None:
    metrics = MetricsCollector()
    alerts = noting(metrics, GROWS, WAITS)
    async with watched(alerts) as told:
        await trio.sleep(0.5)
        ended(metrics)
        await trio.sleep(2.0)
    assert lines(told) == ["1: grows fired at 1.0"]
    await trio.sleep(2.0)
    assert [event.alert for event in alerts.firing()] == ["grows"]
    assert alerts.statistics().pending == 1
    ended(metrics, times=2)  # nobody looks, but it is counted
    async with watched(alerts) as told:
        await trio.sleep(0.5)
        assert alerts.statistics().pending == 1  # it waits from here on
        await trio.sleep(20.0)
    # At 4.5 the two are seen, and forgotten ten seconds later.
    assert lines(told) == ["3: waits fired at 3.0", "10: grows resolved at 0.0"]
    assert told[1][1].duration_ms == pytest.approx(13_500.0)


def test_in_another_run_of_trio_windows_begin_anew_and_what_fires_fires_on() -> None:
    metrics = MetricsCollector()
    alerts = noting(metrics, GROWS)
    found: list[str] = []

    async def look(seconds: float, *, errors: int) -> None:
        async with watched(alerts) as told:
            await trio.sleep(0.5)
            ended(metrics, times=errors)
            await trio.sleep(seconds - 0.5)
        found.extend(lines(told))
        found.extend(f"after {event.duration_ms} ms" for _, event in told if event.duration_ms)

    for errors in (1, 0):
        trio.run(
            functools.partial(look, 2.5, errors=errors), clock=MockClock(autojump_threshold=0.0)
        )
    assert found == ["1: grows fired at 1.0", "0: grows resolved at 0.0", "after 1500.0 ms"]
