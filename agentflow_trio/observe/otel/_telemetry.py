"""Runs as spans of OpenTelemetry: made where they happen, so that spans of a node's own nest under them.

Layer: observe. Rule: the text of an error comes from events, which are redacted, never from an exception.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, final

from ...events import (
    EVENT_TYPES,
    AlertFired,
    AlertResolved,
    ExecutionEvent,
    NodeStarted,
    Routed,
    RunEnded,
    RunStarted,
)
from ...ports import Where
from .._log_core import OWN
from .._wall import RunTime, WallTimes
from ._api import (
    Context,
    Tracer,
    TracerProvider,
    attach,
    detach,
    get_tracer,
    set_span_in_context,
)
from ._open import ATTEMPT, OpenSpan, Spans, news_of, verdict_of

if TYPE_CHECKING:
    from contextvars import Token

__all__ = ["OpenTelemetry"]

_NOBODYS: Final = frozenset({NodeStarted, AlertFired, AlertResolved})


@final
class OpenTelemetry:
    """Makes spans of runs: ``Engine(observers=[OpenTelemetry()])``.

    A span for each run, in it one for each visit, in that one for each item and for each attempt of a retried or hedged step.
    The one that is current where a run begins is its parent, so that a ``traceparent`` that the application took from a request
    counts. Inside a node the innermost is current, also in its child tasks, its threads, and in runs that it makes. What
    else is told (retries, guards, fallbacks, progress) is an event of the span it happened in, as many as the provider's
    limits allow.

    A span has a status only if it failed: a cancelled one has ``agentflow.outcome``, and none.

    Attributes:
        name: what reports call it.
        wants: all kinds of events but those that say no more than a span does, and alerts.
    """

    name = "opentelemetry"

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        """Take spans from *tracer_provider*; by default the application's global one."""
        kinds = (kind for kind in EVENT_TYPES.values() if kind not in _NOBODYS)
        self.wants: frozenset[type[ExecutionEvent]] = frozenset(kinds)
        self._tracer: Tracer = get_tracer("agentflow_trio", tracer_provider=tracer_provider)
        self._times = WallTimes()
        self._spans = Spans()

    def around(self, where: Where, /) -> AbstractContextManager[object]:
        """Begin a span and make it the current one; end it and restore what was current before."""
        return _Stretch(self._tracer, self._spans, where, self._times.of_run(where.run_id))

    def observe(self, event: ExecutionEvent, /) -> None:
        """Write *event* into the span it is about."""
        if isinstance(event, RunStarted):
            self._begin(event)
            return
        if isinstance(event, Routed):
            self._lead(event)
            return
        news = news_of(event)
        if news is None or not self._spans.tell(event.run_id, event.path, news):
            self._note(event)
        if isinstance(event, RunEnded):
            self._times.forget(event.run_id)

    def _begin(self, event: RunStarted) -> None:
        self._times.begin(event)
        one = self._spans.at(event.run_id, event.path)
        if one is not None:
            one.span.set_attribute("agentflow.definition_hash", event.definition_hash)
            one.span.set_attribute("agentflow.seed", event.seed)

    def _lead(self, event: Routed) -> None:
        one = self._spans.at(event.run_id, event.path)
        if one is not None:
            one.target = event.target

    def _note(self, event: ExecutionEvent) -> None:
        one = self._spans.at(event.run_id, event.path)
        if one is None or not one.span.is_recording():
            return
        said = {
            f"agentflow.{called}": getattr(event, name) for name, called in OWN[type(event)]
        }
        fields = {name: value for name, value in said.items() if value is not None}
        at = _nanoseconds(self._times.at(event))
        one.span.add_event(event.event_type, {"agentflow.path": event.path, **fields}, at)


@final
class _Stretch:
    """One stretch of a run, while its span is the current one."""

    __slots__ = ("_attempt", "_one", "_spans", "_time", "_token", "_tracer", "_where")

    def __init__(self, tracer: Tracer, spans: Spans, where: Where, time: RunTime) -> None:
        self._tracer = tracer
        self._spans = spans
        self._where = where
        self._time = time

    def __enter__(self) -> None:
        where = self._where
        span = self._tracer.start_span(
            f"{where.kind} {_node_of(where.path)}",
            attributes=_attributes(where),
            start_time=_nanoseconds(self._time.now()),
            record_exception=False,
            set_status_on_exception=False,
        )
        self._one: OpenSpan = self._spans.enter(span, where)
        self._token: Token[Context] = attach(set_span_in_context(span))
        if where.kind == "attempt":
            self._attempt: Token[OpenSpan | None] = ATTEMPT.set(self._one)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        detach(self._token)
        if self._where.kind == "attempt":
            ATTEMPT.reset(self._attempt)
        self._spans.leave(self._one, _nanoseconds(self._time.now()), verdict_of(exc))


def _attributes(where: Where) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "agentflow.kind": where.kind,
        "agentflow.run_id": where.run_id,
        "agentflow.flow": where.flow,
        "agentflow.path": where.path,
    }
    if where.kind != "run":
        found["agentflow.visit"], found["agentflow.attempt"] = where.visit, where.attempt
    if where.item is not None:
        found["agentflow.item"] = where.item
    return found


def _node_of(path: str) -> str:
    """The name of the step: a span's name has no numbers in it, or nobody could count spans by it."""
    return path.rpartition("/")[2].partition("#")[0].partition("@")[0].partition("[")[0]


def _nanoseconds(wall: float) -> int:
    """Since the epoch, as OpenTelemetry counts; whole seconds apart, since a float has not digits enough for both."""
    if not math.isfinite(wall):
        return 0
    seconds = math.floor(wall)
    return seconds * 1_000_000_000 + round((wall - seconds) * 1e9)
