"""What looks at a run besides its progress: ``--events``, ``--metrics-port``, ``--alerts``, ``--trace``, ``--report``.

Layer: cli. Rules: what cannot be had is refused before anything runs; everything is closed, and flushed in bounded time,
however the run ends; what no option asks for is not even imported.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from inspect import iscoroutinefunction, isfunction
from pathlib import Path
from typing import Any, Protocol, TypeAlias, final

import attrs
import trio

from .._typing import TypeIs
from ..engine import Engine, Plan
from ..errors import ExtraMissingError
from ..events import AlertEvent, AlertFired, AlertResolved, ExecutionEvent
from ..flow import Flow
from ..observe import (
    AlertAction,
    AlertRule,
    AlertRulesError,
    Alerts,
    MetricsCollector,
    load_rules,
)
from ..ports import Observer
from ..robustness import Guard
from ._events import event_log
from ._exit import UsageError
from ._loading import did_you_mean

__all__ = ["Looks", "Observing", "guards_of"]

Say: TypeAlias = Callable[[str], None]
"""Shows a line of ours beside the progress."""


@final
@attrs.frozen(kw_only=True)
class Looks:
    """What is asked for; nothing by default.

    Attributes:
        events: a file for every event.
        metrics_port: where metrics are served meanwhile; 0 for any port that is free.
        alerts: a file of rules.
        trace: a collector of traces, as a URL of OTLP over HTTP.
        report: a file for a profile as HTML.
    """

    events: Path | None = None
    metrics_port: int | None = None
    alerts: Path | None = None
    trace: str | None = None
    report: Path | None = None


@final
class Observing:
    """The observers of a run and what they need, in the order in which a run is begun.

    ``with`` opens the files, `observers` what needs a loop, and `serving` what shows the engine.

    Attributes:
        told: alerts that fired and were resolved; None if there are no rules.
    """

    def __init__(
        self, looks: Looks | None = None, beside: Mapping[str, Any] | None = None
    ) -> None:
        """*beside*: what stands beside the flow, for rules that name it as their action."""
        self._looks = looks or Looks()
        self._beside = beside or {}
        self.told: list[AlertEvent] | None = None
        self._files: tuple[Observer, ...] = ()
        self._rules: tuple[AlertRule, ...] = ()
        self._metrics: MetricsCollector | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Observing:
        """Open the files and read the rules.

        Raises:
            UsageError: a file cannot be read or written, or the rules make no sense.
        """
        looks = self._looks
        if looks.alerts is not None:
            self._rules = _rules(looks.alerts)
            self.told = []
        if looks.metrics_port is not None or looks.alerts is not None:
            self._metrics = MetricsCollector()
        with ExitStack() as stack:
            events = stack.enter_context(event_log(looks.events))
            self._files = (*events, *stack.enter_context(_report(looks.report)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the report, and close the files."""
        self._stack.close()

    @asynccontextmanager
    async def observers(self, say: Say) -> AsyncGenerator[Sequence[Observer]]:
        """Give all observers; *say* is told what could not be delivered. Always a checkpoint.

        Raises:
            UsageError: there can be no such collector, or what sends traces is not installed.
        """
        await trio.lowlevel.checkpoint()
        found = [*self._files]
        if self._metrics is not None:
            found.append(self._metrics)
            if self.told is not None:
                actions = _actions(self._rules, self._beside, say)
                found.append(
                    Alerts(self._rules, self._metrics, actions=actions, logger=_Told())
                )
                found.append(_Noted(self.told))
        if self._looks.trace is None:
            yield found
            return
        async with _traces(self._looks.trace, say) as traces:
            yield [*found, traces]

    @asynccontextmanager
    async def serving(
        self, engine: Engine, flow: Flow[Any, ...], say: Say
    ) -> AsyncGenerator[None]:
        """Serve the metrics, with gauges of *engine* and of the guards of *flow*; *say* is told where. Always a checkpoint.

        Raises:
            UsageError: the port cannot be used.
        """
        await trio.lowlevel.checkpoint()
        port, metrics = self._looks.metrics_port, self._metrics
        if port is None or metrics is None:
            yield
            return
        from ..observe.prometheus import serve_metrics  # noqa: PLC0415 - 31 ms that others need not pay

        async with AsyncExitStack() as stack:
            try:
                serve = serve_metrics(metrics, port, live=[engine, *guards_of(flow.plan)])
                server = await stack.enter_async_context(serve)
            except OSError as error:
                reason = error.strerror or str(error)
                hint = "0 takes any port that is free."
                raise UsageError(
                    problem=f"metrics cannot be served at port {port}: {reason}", hint=hint
                ) from error
            say(f"metrics: {server.url}")
            yield


def guards_of(plan: Plan[Any]) -> list[Shown]:
    """The guards of all steps in *plan*, each once, as written; those that a node enters by itself are not known."""
    found: list[Shown] = []
    for step in plan.steps:
        of_items = None if step.items is None else step.items.trying
        for trying in (step.trying, of_items):
            found += (guard for guard in (trying.guards if trying else ()) if _is_shown(guard))
        for part in step.parts:
            found += guards_of(part)
    return [
        guard for at, guard in enumerate(found) if all(guard is not one for one in found[:at])
    ]


class Shown(Protocol):
    """What shows how it stands."""

    def statistics(self) -> object:
        """A frozen picture."""
        ...


def _is_shown(guard: Guard | Shown) -> TypeIs[Shown]:
    return callable(getattr(guard, "statistics", None))


# ---------------------------------------------------------------- what each option needs


def _rules(path: Path) -> tuple[AlertRule, ...]:
    try:
        return load_rules(path)
    except AlertRulesError as error:
        problems = tuple(map(str, error.problems))
        raise UsageError(problem=f"--alerts {path}:", details=problems) from error


def _actions(
    rules: Sequence[AlertRule], beside: Mapping[str, Any], say: Say
) -> Mapping[str, AlertAction]:
    """The functions that rules name; *say* is told which are not there, for which the event is all that happens."""
    found: dict[str, AlertAction] = {}
    for name in dict.fromkeys(rule.action for rule in rules if rule.action != "log"):
        function = beside.get(name)
        if isfunction(function) and not iscoroutinefunction(function):
            found[name] = function
            continue
        found[name] = _told
        near = did_you_mean(name, (known for known, one in beside.items() if isfunction(one)))
        why = "that is none" if name in beside else f"none is beside the flow{near}"
        say(
            f"action {name!r} of --alerts is to be a plain function; {why}; its alerts are told"
        )
    return found


def _told(_: AlertEvent) -> None:
    """Do nothing: the event was told."""


@final
class _Noted:
    """An observer that keeps what alerts told."""

    name = "noted alerts"
    wants: Collection[type[ExecutionEvent]] = (AlertFired, AlertResolved)

    def __init__(self, told: list[AlertEvent]) -> None:
        self._told = told

    def observe(self, event: ExecutionEvent, /) -> None:
        """Keep it, if it is one: what all observers hear may come as well."""
        self._told += [event] if isinstance(event, AlertFired | AlertResolved) else []


class _Told:
    def log(self, level: int, event: str, **fields: object) -> None:
        """Do nothing: the event was told."""


@asynccontextmanager
async def _traces(url: str, say: Say) -> AsyncGenerator[Observer]:
    try:
        from ..observe.otel import OpenTelemetry, exporting_to  # noqa: PLC0415 - of an extra
    except ImportError as error:
        missing = ExtraMissingError(what="--trace", extra="otel")
        raise UsageError(problem=str(missing)) from error
    async with AsyncExitStack() as stack:
        try:
            provider = await stack.enter_async_context(exporting_to(url, tell=say))
        except (ExtraMissingError, ValueError) as error:
            problem = str(error).removeprefix("exporting_to: ")
            raise UsageError(problem=f"--trace: {problem}") from error
        yield OpenTelemetry(provider)


@contextmanager
def _report(path: Path | None) -> Generator[tuple[Observer, ...]]:
    """Give an observer whose profile is written to *path* in the end; none without a path.

    What is there already stays until then.

    Raises:
        UsageError: it cannot be opened.
    """
    if path is None:
        yield ()
        return
    was_there = path.exists()
    try:
        file = path.open("ab")
    except OSError as error:
        raise UsageError(problem=f"{path} cannot be written: {error.strerror}") from error
    from ..observe import Profiler, report_html  # noqa: PLC0415 - for those who want a report

    profiler = Profiler()
    try:
        yield (profiler,)
    finally:
        profile = profiler.profile()
        try:
            with file:
                if profile.runs:
                    page = report_html(profile).encode()
                    if path.is_file():  # a device has nothing to cut off
                        file.truncate(0)
                    file.write(page)
            if not profile.runs and not was_there:
                path.unlink()
        except OSError as error:
            sys.stderr.write(f"warning: {path} is not complete: {error.strerror}\n")
