"""Where the time of runs went: for each place, for each guard, and along the critical path.

Layer: observe. Pure: what it says is computed from events alone, and the same events give the same profile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import final

import attrs

from ..events import ExecutionEvent
from ._critical_core import PathLink, critical_path
from ._guard_use_core import EventCounts, GuardProfile, Tally
from ._profile_records_core import FailureProfile, PathShare, PlaceProfile, RunProfile
from ._profile_table_core import table_of
from ._span_fold_core import SpanFold
from ._spans_core import RunSpans, Span, place_of

__all__ = ["Profile", "Profiler", "percentile"]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values*, which are sorted, that at least *share* of them do not exceed: one of them, exactly.

    Source: nearest rank, the value numbered ceil(share * n); the inverse of the empirical distribution, definition 1 of
    R. J. Hyndman and Y. Fan, "Sample quantiles in statistical packages", 1996.
    """
    # 0.95 * 20 is a little more than 19, whose ceiling would be 20
    rank = math.ceil(round(share * len(values), 9))
    return values[max(rank, 1) - 1]


@final
@attrs.frozen(kw_only=True)
class Profile:
    """Where the time of runs went.

    Attributes:
        runs: all of them, the slowest first.
        counts: what happened, counted.
        places: those where most time went first: what they worked and waited themselves.
        guards: those that made others wait the longest first.
        failures: in the order of their runs, and in these of their beginning.
        slowest: the run that took the longest; None without runs.
        critical: its critical path; see `critical_path`.
    """

    runs: tuple[RunProfile, ...]
    counts: EventCounts
    places: tuple[PlaceProfile, ...]
    guards: tuple[GuardProfile, ...]
    failures: tuple[FailureProfile, ...]
    slowest: RunSpans | None
    critical: tuple[PathLink, ...]

    @classmethod
    def of(cls, events: Iterable[ExecutionEvent]) -> Profile:
        """Make the profile of *events*, those of any number of runs, mixed as they come."""
        profiler = Profiler()
        for event in events:
            profiler.observe(event)
        return profiler.profile()

    def shares(self) -> tuple[PathShare, ...]:
        """What the critical path consists of, the largest share first."""
        seconds: dict[tuple[str, str | None], list[float]] = {}
        for link in self.critical:
            seconds.setdefault((place_of(link.path), link.reason), []).append(link.seconds)
        whole = self.slowest.root.duration if self.slowest else 0.0
        shares = [
            PathShare(
                place=place,
                reason=reason,
                seconds=math.fsum(parts),
                share=math.fsum(parts) / whole,
                times=len(parts),
            )
            for (place, reason), parts in seconds.items()
        ]
        return tuple(sorted(shares, key=lambda share: -share.seconds))

    def table(self, *, width: int = 100, top: int | None = None) -> str:
        """Return it as plain text of lines of at most *width* columns, with the first *top* places; all by default."""
        return table_of(self, width=width, top=top)


@final
class Profiler:
    """An observer that makes a profile of all runs it is told of: ``Engine(observers=[profiler])``.

    It keeps a record of some hundred bytes for each visit and item. `Profile.of` does the same with events that were kept.
    """

    name = "profile"

    def __init__(self) -> None:
        self._fold = SpanFold()
        self._tally = Tally()

    def observe(self, event: ExecutionEvent) -> None:
        """Take an event into account."""
        self._tally.observe(event)
        self._fold.observe(event)

    def profile(self) -> Profile:
        """Return the profile of what was observed until now; runs that go on count as unfinished."""
        runs = self._fold.runs()
        slowest = max(runs, key=lambda run: run.root.duration, default=None)
        critical = critical_path(slowest.root) if slowest else ()
        return Profile(
            runs=tuple(sorted(map(_summary, runs), key=lambda run: -run.duration)),
            counts=self._tally.counts(runs),
            places=_places(runs, critical),
            guards=self._tally.guards(),
            failures=tuple(failed for run in runs for failed in _failures(run)),
            slowest=slowest,
            critical=critical,
        )


def _summary(run: RunSpans) -> RunProfile:
    root = run.root
    return RunProfile(
        run_id=run.run_id,
        flow=root.path,
        outcome=root.outcome,
        exit=root.exit,
        error=root.error,
        start=root.start,
        duration=root.duration,
        missing=run.missing,
        wall_time=run.wall_time,
        seed=run.seed,
    )


def _places(runs: Iterable[RunSpans], critical: Iterable[PathLink]) -> tuple[PlaceProfile, ...]:
    # a step that runs alone has the path of its run
    spans: dict[tuple[str, str], list[Span]] = {}
    for run in runs:
        for span in run.root.walk():
            spans.setdefault((span.kind, span.place), []).append(span)
    seconds = dict.fromkeys(spans, 0.0)
    for link in critical:
        seconds[link.span.kind, link.span.place] += link.seconds
    places = [_place(here, seconds[key]) for key, here in spans.items()]
    return tuple(sorted(places, key=lambda place: -(place.own + place.waited)))


def _place(spans: Sequence[Span], critical: float) -> PlaceProfile:
    outcomes = [span.outcome for span in spans]
    waiting: dict[str, list[float]] = {}
    for span in spans:
        for wait in span.waits:
            waiting.setdefault(wait.reason, []).append(wait.end - wait.start)
    took = sorted(span.duration for span in spans if span.outcome in {"success", "error"})
    return PlaceProfile(
        place=spans[0].place,
        kind=spans[0].kind,
        visits=len(spans),
        succeeded=outcomes.count("success"),
        failed=outcomes.count("error"),
        cancelled=outcomes.count("cancelled"),
        unfinished=outcomes.count("unfinished"),
        attempts=sum(span.tries for span in spans),
        total=math.fsum(span.duration for span in spans),
        own=math.fsum(span.own for span in spans),
        waiting={reason: math.fsum(seconds) for reason, seconds in sorted(waiting.items())},
        p50=percentile(took, 0.5) if took else None,
        p95=percentile(took, 0.95) if took else None,
        critical=critical,
    )


def _failures(run: RunSpans) -> Iterable[FailureProfile]:
    """The innermost of what failed together; what became of it may be said of something around it."""
    stack = [(run.root, "")]
    while stack:
        span, around = stack.pop()
        handled = span.handled or around
        if span.outcome == "error" and not any(_explains(inside) for inside in span.children):
            yield FailureProfile(
                run_id=run.run_id,
                path=span.path,
                when=span.end - run.root.start,
                error=span.error or "",
                message=span.message or "",
                tries=span.tries,
                handled=handled,
            )
        if span.children:
            inside = [(child, handled) for child in span.children]
            stack += sorted(inside, key=lambda one: one[0].start)[::-1]


def _explains(inside: Span) -> bool:
    """Whether what is around *inside* failed because of it."""
    return inside.outcome == "error" and not inside.handled
