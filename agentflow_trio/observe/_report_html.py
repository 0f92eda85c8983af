"""A profile as one page of HTML that needs nothing else: no script, no font, no network.

Layer: observe. Rules: it says everything in words and numbers that the picture shows; the same profile gives the same page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .._markup import Markup, joined, tag
from ..events import ExecutionEvent
from ._log_lines_core import iso
from ._profile_core import Profile
from ._profile_records_core import RunProfile
from ._profile_table_core import counted
from ._report_brief import brief
from ._report_style import STYLE
from ._report_tables import failures, guards, legend, places, runs, shares, time
from ._timeline_svg import timeline

__all__ = ["report_html"]

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_OUTCOMES: Final = {
    "success": ("success", "good"),
    "error": ("failed", "bad"),
    "cancelled": ("cancelled", "cut"),
    "unfinished": ("unfinished", "cut"),
}


def report_html(source: Profile | Iterable[ExecutionEvent], *, title: str | None = None) -> str:
    """Return a report of runs as a page of HTML, to be written to a file in UTF-8.

    It shows the timeline of the slowest run, its critical path, what failed, and for all runs where their time went. Runs
    of any size give a page below 1 MB: what is alike is drawn as one bar, and long tables say how many rows they leave out.

    Args:
        source: a profile, or the events to make one of.
        title: what the page is called; by default the flow's name and how its run ended.
    """
    profile = source if isinstance(source, Profile) else Profile.of(source)
    heading = title if title is not None else _title(profile)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("link", rel="icon", href="data:,"),
        tag("title", heading),
        tag("style", Markup(STYLE)),
    )
    body = tag("body", tag("main", tag("h1", heading), *_sections(profile)))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _title(profile: Profile) -> str:
    if not profile.runs:
        return "No runs"
    flows = sorted({run.flow for run in profile.runs})
    name = flows[0] if len(flows) == 1 else f"{len(flows)} flows"
    many, outcome = profile.counts.runs, profile.runs[0].outcome
    return f"{name}: {counted(many, 'run') if many > 1 else _OUTCOMES[outcome][0]}"


def _sections(profile: Profile) -> Iterator[Markup]:
    slowest = profile.slowest
    if slowest is None:
        yield tag("p", "The events tell of no run.")
        return
    whole = slowest.root.duration
    several = len(profile.runs) > 1
    the_run = "the slowest run" if several else "the run"
    yield _subtitle(profile, several=several)
    yield from _warnings(profile)
    yield _sums(profile, several=several)
    yield brief(profile)
    # who asks why a run failed is not to look for it below the timings
    failed = any(not failure.handled for failure in profile.failures)
    if failed:
        yield _section("failures", "Failures", failures(profile.failures, whole))
    yield _section(
        "timeline",
        f"Timeline of {the_run}" if several else "Timeline",
        tag(
            "figure",
            tag(
                "div",
                timeline(slowest, profile.critical),
                class_="wide",
                role="region",
                tabindex="0",
                aria_label="Timeline",
            ),
            tag("figcaption", legend()),
        ),
    )
    yield _section(
        "critical",
        "Critical path",
        tag(
            "p",
            f"The chain of stretches that decided how long {the_run} took. Shortening one of them shortens the run, "
            "until another chain is longer.",
            class_="note",
        ),
        shares(profile.shares(), whole),
    )
    if profile.failures and not failed:
        yield _section("failures", "Failures", failures(profile.failures, whole))
    yield _section(
        "places",
        "Where the time went",
        places(profile.places, whole),
        tag(
            "p",
            "total: from beginning to end, what went on at once counts each for itself. self: nothing inside went on, and "
            "nothing was waited for. p50, p95: of those that ended by themselves, half and 95 % took no longer. "
            "A place that ends in [*] stands for the items of a step.",
            class_="note",
        ),
    )
    if profile.guards:
        yield _section("guards", "Guards", guards(profile.guards, whole))
    if several:
        yield _section("runs", "Runs", runs(profile.runs, whole))


def _section(name: str, heading: str, *content: Markup) -> Markup:
    return tag(
        "section",
        tag("h2", heading, id=f"{name}-heading"),
        *content,
        id=name,
        aria_labelledby=f"{name}-heading",
    )


def _subtitle(profile: Profile, *, several: bool) -> Markup:
    slowest, events = profile.runs[0], counted(profile.counts.events, "event")
    which = f"the slowest is run {slowest.run_id}" if several else f"run {slowest.run_id}"
    by = "" if slowest.exit is None or several else f", by exit {slowest.exit}"
    began = "" if slowest.wall_time is None else f", begun {_moment(slowest.wall_time)}"
    seed = "" if slowest.seed is None else f", seed {slowest.seed}"
    return tag("p", f"{slowest.flow}, {which}{by}{began}{seed}; {events}", class_="quiet")


def _moment(wall_time: float) -> str:
    """A time of the day to the second, as a service in any place has it."""
    day, _, hour = iso(wall_time).partition("T")
    return f"{day} {hour[:8]} UTC" if hour else day


def _warnings(profile: Profile) -> Iterator[Markup]:
    missing = sum(run.missing for run in profile.runs)
    if missing:
        told = f"{counted(missing, 'event')} of these runs {'is' if missing == 1 else 'are'} missing: the figures are too low."
        yield tag("p", told, class_="warning", role="note")
    if profile.counts.unfinished:
        told = (
            f"{counted(profile.counts.unfinished, 'run')} had not ended when the events stop; "
            "what went on then is called unfinished."
        )
        yield tag("p", told, class_="warning", role="note")


def _sums(profile: Profile, *, several: bool) -> Markup:
    counts, slowest = profile.counts, profile.runs[0]
    tiles = [_sum("runs", "runs", counts.runs)] if several else [_outcome(slowest)]
    if several:
        tiles += [
            _sum("succeeded", "ended well", counts.succeeded, "good"),
            _sum("failed", "failed", counts.failed, "bad"),
        ]
    tiles.append(
        _tile(
            "duration",
            "slowest" if several else "duration",
            time(slowest.duration, slowest.duration),
            repr(slowest.duration),
        )
    )
    tiles += [
        _sum("steps", "steps", counts.steps),
        _sum("failures", "failures", counts.failures, "bad"),
        _sum("retries", "retries", counts.retries),
        _sum("rejections", "rejections", counts.rejections),
    ]
    rare = {
        "timeouts": counts.timeouts,
        "hedges": counts.hedges,
        "fallbacks": counts.fallbacks,
        "cache hits": counts.hits,
        "faults injected": counts.injected,
    }
    tiles += [
        _sum(label.replace(" ", "-"), label, many) for label, many in rare.items() if many
    ]
    if counts.blocked:
        text = time(counts.blocked, slowest.duration)
        tiles.append(_tile("blocked", "loop blocked", text, repr(counts.blocked), "bad"))
    return tag("dl", *tiles, class_="sums")


def _outcome(run: RunProfile) -> Markup:
    word, class_ = _OUTCOMES[run.outcome]
    return _tile("outcome", "outcome", word, run.outcome, class_)


def _sum(name: str, label: str, number: int, class_: str | None = None) -> Markup:
    return _tile(name, label, f"{number:,}", repr(number), class_ if number else None)


def _tile(name: str, label: str, text: str, value: str, class_: str | None = None) -> Markup:
    value_ = tag("dd", text, id=f"sum-{name}", data_value=value, class_=class_)
    return joined(tag("div", tag("dt", label), value_))
