"""Alerts: rules looked at once a second, told as events, and acted upon.

Layer: observe. Rules: time is Trio's; nothing waits but the task that looks; an action that raises harms nobody.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, final

import attrs
import trio

from .._typing import override
from ..errors import AgentFlowError
from ..events import AlertEvent, AlertFired, ExecutionEvent, ObserverFailed
from ..ports import Simulated
from ._alert_core import Watchers
from ._alert_rule import AlertRule, AlertRulesError, RuleProblem
from ._samples_core import MetricsReader

if TYPE_CHECKING:
    from .logs import EventLogger

__all__ = ["AlertAction", "Alerts", "AlertsInUseError", "AlertsStatistics"]

AlertAction: TypeAlias = Callable[[AlertEvent], object]
"""What is called with an `AlertFired` when an alert fires, and with an `AlertResolved` when that is over."""


@final
@attrs.define(eq=False, kw_only=True)
class AlertsInUseError(AgentFlowError, RuntimeError):
    """An engine has these alerts already; a second one would fire them twice."""

    @override
    def __str__(self) -> str:
        return "these Alerts belong to an engine that is open: give each engine Alerts of its own, or share the engine"


@final
@attrs.frozen
class AlertsStatistics:
    """What became of alerts so far.

    Attributes:
        rules: how many rules there are.
        pending: how many alerts wait for their condition to have held for long enough.
        firing: how many fired and are not resolved.
        fired: how often one fired.
        resolved: how often one was resolved.
        failures: how often an action raised.
    """

    rules: int
    pending: int
    firing: int
    fired: int
    resolved: int
    failures: int


@final
class Alerts:
    """Looks at rules and tells when one holds: ``Engine(observers=[metrics, Alerts(rules, metrics)])``.

    While an engine is open it looks once a second, on Trio's clock: an alert fires no later than that after its condition
    has held for ``for_`` seconds. It looks a last time when the engine closes, so that the end of its last run, too, is seen.
    `AlertFired` and `AlertResolved` go to all observers of the engine, once each, and then
    the rule's action is called.

    What fires when the engine closes keeps firing, without an event. If these alerts are then given to another engine,
    they go on: what still holds does not fire again; what was pending waits from its opening on. In another run of Trio
    windows begin anew.

    Attributes:
        name: what reports call it.
        wants: no events: it reads metrics.
    """

    name = "alerts"

    def __init__(
        self,
        rules: Iterable[AlertRule],
        metrics: MetricsReader,
        *,
        actions: Mapping[str, AlertAction] | None = None,
        logger: EventLogger | None = None,
        every: float = 1.0,
    ) -> None:
        """Take note of what is counted already: ``rate`` and ``increase`` count from here on.

        Args:
            rules: as made in Python or read by `load_rules`, each with a name of its own.
            metrics: where conditions find metrics: the `MetricsCollector` of the same engine.
            actions: functions by name, for rules with that ``action``. Plain ones: one that has to wait is given a channel.
                One that raises is told as `ObserverFailed`, once for each alert, and called again the next time.
            logger: for the action "log": a bound logger of structlog, by default the one that the application configured.
                It writes the same record as `observe.logs.Logs` does: who has that needs it for no alert.
            every: seconds between two looks, at most 1.

        Raises:
            AlertRulesError: two rules have the same name, or there is no such action.
            TypeError: an action is not a plain function.
            ValueError: *every* is out of bounds.
        """
        self._rules = tuple(rules)
        self._actions = {"log": _log_action(logger), **(actions or {})}
        _check(self._rules, self._actions, every)
        self.wants: Collection[type[ExecutionEvent]] = ()
        self._every = every
        self._core: Final = Watchers(self._rules, metrics)
        self._reported: dict[str, None] = {}  # an ordered set of names
        self._fired = self._resolved = self._failures = 0
        self._is_watched = False
        self._clock: trio.abc.Clock | None = None

    def observe(self, event: ExecutionEvent, /) -> None:
        """It wants no events."""

    async def watch(self, tell: Callable[[ExecutionEvent], None], /) -> None:
        """Look at the rules until cancelled; called by the engine. Always a checkpoint.

        Raises:
            AlertsInUseError: it is called while another call looks.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._is_watched:
            raise AlertsInUseError
        self._is_watched = True
        try:
            begin, clock = trio.current_time(), trio.lowlevel.current_clock()
            self._core.resume(begin, same_clock=clock is self._clock)
            self._clock = clock
            if isinstance(clock, Simulated):
                clock.serve(trio.lowlevel.current_task(), self._core.memory + 2 * self._every)
            ticks = 0.0
            while True:
                now = trio.current_time()
                self._look(now, tell)
                # On a grid: looks that were missed while the loop stood still are left out. Always later than this one,
                # however the difference is rounded: (2.3 - 1.3) // 1.0 is 0.0.
                ticks = max(ticks, (now - begin) // self._every) + 1
                await trio.sleep_until(begin + ticks * self._every)
        except trio.Cancelled:
            self._look(trio.current_time(), tell)  # how the last run ended
            raise
        finally:
            self._is_watched = False

    def firing(self) -> tuple[AlertFired, ...]:
        """What fired and was not resolved, in the order in which it fired. Not a checkpoint."""
        return self._core.firing()

    def statistics(self) -> AlertsStatistics:
        """What became of alerts so far. Not a checkpoint."""
        return AlertsStatistics(
            rules=len(self._rules),
            pending=len(self._core.pending()),
            firing=len(self._core.firing()),
            fired=self._fired,
            resolved=self._resolved,
            failures=self._failures,
        )

    def _look(self, now: float, tell: Callable[[ExecutionEvent], None]) -> None:
        for rule, event in self._core.look(now):
            if isinstance(event, AlertFired):
                self._fired += 1
            else:
                self._resolved += 1
            tell(event)
            self._act(rule, event, tell)

    def _act(
        self, rule: AlertRule, event: AlertEvent, tell: Callable[[ExecutionEvent], None]
    ) -> None:
        try:
            returned = self._actions[rule.action](event)
            if inspect.iscoroutine(returned):
                returned.close()
                raise TypeError("it returned a coroutine, which nobody awaits")  # noqa: TRY301 - as if it had raised
        except Exception as error:  # noqa: BLE001 - whatever an action raises must not reach the engine; it is reported
            self._failures += 1
            if rule.name not in self._reported:
                self._reported[rule.name] = None
                reason = f"action {rule.action!r} of alert {rule.name!r} raised {type(error).__name__}: {error}"
                tell(
                    ObserverFailed(
                        run_id="",
                        seq=-1,
                        path="",
                        timestamp=event.timestamp,
                        observer=self.name,
                        reason=reason,
                    )
                )


def _log_action(logger: EventLogger | None) -> AlertAction:
    """The action "log". structlog is imported when an alert is logged for the first time."""
    made: list[AlertAction] = []

    def log(event: AlertEvent) -> None:
        if not made:
            from .logs import Logs  # noqa: PLC0415 - 30 ms, for who logs alerts

            made.append(Logs(logger).observe)
        made[0](event)

    return log


def _is_async(action: object) -> bool:
    layers = (action, getattr(type(action), "__call__", None))  # noqa: B004 - how it is called
    return any(map(inspect.iscoroutinefunction, layers))


def _check(rules: tuple[AlertRule, ...], actions: Mapping[str, object], every: float) -> None:
    for name, action in actions.items():
        if not callable(action) or _is_async(action):
            raise TypeError(
                f"Alerts: action {name!r} must be a plain function of an event, not {action!r}; "
                "let it send to a channel that a task of yours reads"
            )
    if not 0.0 < every <= 1.0:
        raise ValueError(
            f"Alerts: every must be a number of seconds > 0 and <= 1, not {every!r}"
        )
    problems = tuple(_unfit(rules, actions))
    if problems:
        raise AlertRulesError(problems=problems)


def _unfit(
    rules: tuple[AlertRule, ...], actions: Mapping[str, object]
) -> Iterator[RuleProblem]:
    """Rules that do not go together, or ask for what is not there."""
    names: dict[str, None] = {}
    for rule in rules:
        if rule.name in names:
            yield RuleProblem(
                rule=rule.name,
                field="name",
                sentence="another rule has that name, too",
                remedy="give each its own",
            )
        names[rule.name] = None
        if rule.action not in actions:
            known = " or ".join(map(repr, actions))
            yield RuleProblem(
                rule=rule.name,
                field="action",
                sentence=f"there is no action {rule.action!r}",
                remedy=f"write {known}, or pass actions={{{rule.action!r}: a function}}",
            )
