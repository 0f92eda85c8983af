"""The first thing a report says: what failed or was cut off, what took the time, what made it wait.

Layer: observe. Rules: at most a few lines each; the sections below say the same in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from .._markup import Markup, tag
from ._profile_core import Profile
from ._profile_records_core import FailureProfile, PathShare
from ._profile_table_core import counted
from ._report_tables import brief_text, path_text, time
from ._spans_core import Span

__all__ = ["brief"]

_MANY: Final = 3  # of one kind
_ENOUGH: Final = 0.01
"""Of the critical path: what waits less is not worth a line."""
_MUCH: Final = 0.1
"""The same: what takes less does not stand out."""


def brief(profile: Profile) -> Markup:
    """Return what an operator asks first, as a list of terms."""
    whole = profile.runs[0].duration
    rows = [
        *_failed(profile, whole),
        *_cut(profile, whole),
        *_drill(profile),
        *_time(profile, whole),
    ]
    return tag(
        "dl",
        *(tag("div", tag("dt", term), *lines, class_=class_) for term, class_, lines in rows),
        class_="brief",
    )


Row: TypeAlias = tuple[str, str | None, list[Markup]]


def _failed(profile: Profile, whole: float) -> Iterator[Row]:
    unhandled = [failure for failure in profile.failures if not failure.handled]
    if not unhandled:
        return
    several = len(profile.runs) > 1
    lines = [_failure(each, whole, several=several) for each in unhandled[:_MANY]]
    yield "What failed", "bad", [*lines, *_more(len(unhandled))]


def _failure(failure: FailureProfile, whole: float, *, several: bool) -> Markup:
    after = f", after {time(failure.when, whole)}" + (
        f" of run {failure.run_id}" if several else ""
    )
    why = tag("div", tag("b", failure.error), f": {brief_text(failure.message)}")
    return tag("dd", path_text(failure.path), after, why)


def _cut(profile: Profile, whole: float) -> Iterator[Row]:
    """What the slowest run was about when it was cancelled, or when its events stop."""
    run = profile.slowest
    if run is None or run.root.outcome not in {"cancelled", "unfinished"}:
        return
    spans = [
        span
        for span in run.root.walk()
        if span.outcome == run.root.outcome
        and not any(inside.outcome == span.outcome for inside in span.children)
    ]
    lines = [tag("dd", path_text(span.path), _state(span, whole)) for span in spans[:_MANY]]
    term = "What was cut off" if run.root.outcome == "cancelled" else "What had not ended"
    yield term, "cut", [*lines, *_more(len(spans))]


def _state(span: Span, whole: float) -> str:
    waits = [wait.reason for wait in span.waits if wait.end >= span.end]
    waiting = f", waiting for {waits[-1]}" if waits else ""
    return f", after {time(span.duration, whole)}{waiting}"


def _time(profile: Profile, whole: float) -> Iterator[Row]:
    """The largest shares of the critical path; work and waiting apart, and first what is more."""
    shares = profile.shares()
    work = next((share for share in shares if share.reason is None), None)
    waits = [share for share in shares if share.reason is not None and share.share >= _ENOUGH]
    waiting = [_waited(share, whole) for share in waits[:_MANY]]
    row = "What it waited for", None, [*waiting, *_more(len(waits))]
    if waits and (work is None or waits[0].share >= work.share):
        yield row
    if work is not None:
        least = (
            "" if work.share >= _MUCH else f"; of {counted(len(shares), 'share')} the largest"
        )
        told = f": {time(work.seconds, whole)}, {work.share:.1%} of the critical path{least}"
        yield "What took the time", None, [tag("dd", path_text(work.place), told)]
    if waits and work is not None and waits[0].share < work.share:
        yield row


def _waited(share: PathShare, whole: float) -> Markup:
    told = f"{share.reason}: {time(share.seconds, whole)}, {share.share:.1%} of the critical path, at "
    return tag("dd", told, path_text(share.place))


def _drill(profile: Profile) -> Iterator[Row]:
    """Faults that were asked for are not to be taken for others."""
    struck = [guard for guard in profile.guards if guard.injected]
    if struck:
        told = ", ".join(f"chaos {each.guard!r} {each.injected:,}" for each in struck)
        yield "Faults that were injected", None, [tag("dd", told)]


def _more(many: int) -> list[Markup]:
    left = many - _MANY
    return (
        [tag("dd", f"and {counted(left, 'more', 'more')}", class_="quiet")] if left > 0 else []
    )
