"""The spans that go on: which stretch of a run each is of, how it came out, and when it may end.

Layer: observe. Rules: a span ends once its stretch is left and the event that says how it came out was told, at the latest
when the span around it is left; of a failure only what the event says gets in, for that is redacted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias, final

import trio

from ..._typing import TypeIs
from ...events import (
    AttemptFailed,
    BatchDone,
    ExecutionEvent,
    ItemFailed,
    NodeCancelled,
    NodeFailed,
    NodeSucceeded,
    RunEnded,
)
from ...ports import Where
from ._api import Span, StatusCode

__all__ = [
    "ATTEMPT",
    "News",
    "OpenSpan",
    "Outcome",
    "Spans",
    "Verdict",
    "news_of",
    "verdict_of",
]

Kind: TypeAlias = Literal["run", "step", "item", "attempt"]
"""What a span is of."""

Outcome: TypeAlias = Literal["success", "error", "cancelled"]
"""How a stretch of a run came out."""


class Verdict(NamedTuple):
    """How it came out, and what is known of that.

    Attributes:
        outcome: how.
        exit: the action; None without exits.
        error: the class of what failed, if anything.
        message: its text.
    """

    outcome: Outcome
    exit: str | None = None
    error: str | None = None
    message: str | None = None


class News(NamedTuple):
    """What an event says: how what came out, of the attempts which."""

    kind: Kind
    verdict: Verdict
    attempt: int | None = None


_WELL: Final = Verdict("success")

_KINDS: Final[Mapping[type[ExecutionEvent], Kind]] = {
    RunEnded: "run",
    NodeFailed: "step",
    NodeCancelled: "step",
    BatchDone: "item",
    ItemFailed: "item",
    AttemptFailed: "attempt",
}


def news_of(event: ExecutionEvent) -> News | None:
    """What *event* says of how something came out; None if it is about something else."""
    match event:
        case NodeSucceeded():
            return _news_of_success(event.exit)
        case AttemptFailed(own=False):
            return None  # of a guard in the node's own code
        case NodeFailed() | ItemFailed() | AttemptFailed():
            verdict = Verdict("error", None, event.error, event.message)
        case NodeCancelled():
            verdict = Verdict("cancelled", None, event.error, event.message)
        case BatchDone():
            verdict = _WELL
        case RunEnded():
            error, _, message = (event.error or "").partition(": ")
            verdict = Verdict(event.outcome, event.exit, error or None, message)
        case _:
            return None
    attempt = event.attempt if isinstance(event, AttemptFailed) else None
    return News(_KINDS[type(event)], verdict, attempt)


@lru_cache(maxsize=256)  # most that is told, and there are few exits
def _news_of_success(taken: str | None) -> News:
    return News("step", Verdict("success", taken))


def verdict_of(exc: BaseException | None) -> Verdict:
    """What can be said of *exc* without saying its text, which nobody has redacted."""
    if exc is None:
        return _WELL
    if _is_cancelled(exc):
        return Verdict("cancelled")
    return Verdict("error", error=type(exc).__name__)


def _is_cancelled(exc: BaseException) -> bool:
    if _is_group(exc):
        return any(map(_is_cancelled, exc.exceptions))
    return isinstance(exc, trio.Cancelled)


def _is_group(exc: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(exc, BaseExceptionGroup)


_ENTRY: Final = re.compile(r"@\d+$")
"""The number of an attempt at the end of a path: what is inside of it has it, and not the visit itself."""


@final
class OpenSpan:
    """One span.

    Attributes:
        span: of OpenTelemetry.
        where: the stretch of a run.
        around: that of the stretch around it, in the same run.
        waiting: those inside that were left, of which nobody has told yet how they came out.
        verdict: how it came out, as far as is known.
        told: whether an event said so.
        target: where its exit led.
        end: when it was left, in nanoseconds since the epoch; None while it goes on.
    """

    __slots__ = ("around", "end", "span", "target", "told", "verdict", "waiting", "where")

    def __init__(self, span: Span, where: Where, around: OpenSpan | None) -> None:
        self.span: Final = span
        self.where: Final = where
        self.around: Final = around
        self.waiting: dict[int, OpenSpan] = {}
        self.verdict: Verdict = _WELL
        self.told: bool = False
        self.target: str | None = None
        self.end: int | None = None

    @property
    def is_settled(self) -> bool:
        """Whether no event will say more of it."""
        kind = self.where.kind
        if self.told or kind == "run":
            return True
        return kind != "step" and self.verdict.outcome != "error"


ATTEMPT: Final[ContextVar[OpenSpan | None]] = ContextVar(
    "agentflow_trio.observe.otel.attempt", default=None
)
"""The innermost attempt that the caller is in, also in a span of the node's own; kept apart since most steps make but one."""


@final
class Spans:
    """All open spans, by run and path; at one path those of a visit or an item, and of an attempt at it."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], list[OpenSpan]] = {}

    def enter(self, span: Span, where: Where) -> OpenSpan:
        """A stretch begins."""
        around = None if where.kind == "run" else self.at(where.run_id, where.path)
        one = OpenSpan(span, where, around)
        self._open.setdefault((where.run_id, where.path), []).append(one)
        return one

    def leave(self, one: OpenSpan, end: int, verdict: Verdict) -> None:
        """A stretch is over; an event that was told already knows better than *verdict*."""
        one.end = end
        if not one.told:
            one.verdict = verdict
        if one.waiting:
            for inner in [*one.waiting.values()]:
                self._finish(inner)
        if one.is_settled or one.around is None:
            self._finish(one)
        else:
            one.around.waiting[id(one)] = one

    def tell(self, run_id: str, path: str, news: News) -> bool:
        """An event says how a stretch came out, perhaps after it is over; return whether there is such a stretch."""
        for one in self._open.get((run_id, path), ()):
            if one.where.kind == news.kind and news.attempt in {None, one.where.attempt}:
                one.verdict, one.told = news.verdict, True
                if one.end is not None:
                    self._finish(one)
                return True
        return False

    def at(self, run_id: str, path: str) -> OpenSpan | None:
        """The open span at *path*, or around it; None if there is none. Of an attempt only where that is the current one."""
        current = ATTEMPT.get()
        while path:
            found = self._open.get((run_id, path))
            if found is not None:
                if current is not None and current in found:
                    return current
                return found[0] if len(found) == 1 else _last_but_attempts(found)
            cut = path.rindex("[") if path.endswith("]") else max(path.rfind("/"), 0)
            path = path[:cut]
            if "@" in path:
                path = _ENTRY.sub("", path)
        return None

    def _finish(self, one: OpenSpan) -> None:
        key = one.where.run_id, one.where.path
        here = self._open[key]
        here.remove(one)
        if not here:
            del self._open[key]
        if one.around is not None and one.around.waiting:
            one.around.waiting.pop(id(one), None)
        if one.span.is_recording():
            _write(one)
        one.span.end(one.end)


def _last_but_attempts(found: list[OpenSpan]) -> OpenSpan:
    return next(one for one in reversed(found) if one.where.kind != "attempt")


def _write(one: OpenSpan) -> None:
    """Say how it came out; for OpenTelemetry, to be cancelled is neither good nor bad."""
    verdict = one.verdict
    said: dict[str, str] = {"agentflow.outcome": verdict.outcome}
    if verdict.exit is not None:
        said["agentflow.exit"] = verdict.exit
    if one.target is not None:
        said["agentflow.target"] = one.target
    if verdict.error is not None:
        said["error.type"] = verdict.error
    one.span.set_attributes(said)
    if verdict.outcome == "error":
        text = f"{verdict.error}: {verdict.message}" if verdict.message else verdict.error
        one.span.set_status(StatusCode.ERROR, text)
