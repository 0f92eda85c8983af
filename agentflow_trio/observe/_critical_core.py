"""The critical path of a run: the chain of spans that decided how long it took.

Layer: observe. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, final

import attrs

from ._spans_core import Span, Wait

__all__ = ["PathLink", "critical_path"]

_SLACK: Final = 1e-9
"""Seconds by which a computed beginning may miss the moment that it stands for: clocks near 1e5 s are exact to 1.5e-11."""


@final
@attrs.frozen
class PathLink:
    """A stretch of a critical path.

    Attributes:
        span: what it belongs to.
        start: seconds on Trio's clock; the end of the link before.
        end: the same.
        reason: what it waited for, as in `Wait.reason`; None: it worked.
    """

    span: Span = attrs.field(repr=False)
    start: float
    end: float
    reason: str | None = None

    @property
    def path(self) -> str:
        """Where."""
        return self.span.path

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def critical_path(span: Span) -> tuple[PathLink, ...]:
    """Return the chain of stretches, without gaps, that reaches from the beginning of *span* to its end.

    It is found from the end backwards. What a span ended with is its last finisher: the visit or item inside that ended
    last. Before that one began, the span depended on the one that had ended last until then, and so on: in a sequence on
    the step before, in ``parallel`` on the slowest branch, among items on that whose end freed the place. Each of
    them is taken apart in the same way. Stretches in which nothing inside went on are the span's own, or those of
    what it waited for: a guard, a retry. Shortening a link of the chain shortens the run, until another chain is longer.

    What was cancelled because something beside it had ended (the losers of ``race``) counts only from then on. For a
    guard there is no edge to whoever held it, since events do not say who did.

    Source: the critical path of a fork-join graph, backwards over last arrivals as in B. P. Miller and C.-Q. Yang, "IPS: an
    interactive and automatic performance measurement tool", ICDCS 1987; J. Hollingsworth, "Critical path profiling", 1998.
    """
    links: list[PathLink] = []
    _chain(span, span.start, span.end, links)
    links.reverse()
    return tuple(_joined(links))


def _chain(span: Span, low: float, high: float, links: list[PathLink]) -> None:
    """Append to *links*, last first, what *span* did from *low* to *high*."""
    reached = high
    for child, start, end in _finishers(span.children):
        if end > reached + _SLACK or min(end, reached) <= max(start, low):
            continue  # it went on beside what counts, or took no time
        begin, stop = _snapped(start, end, low, reached)
        _own(span, stop, reached, links)
        _chain(child, begin, stop, links)
        reached = begin
    _own(span, low, reached, links)


def _finishers(children: Sequence[Span]) -> Iterable[tuple[Span, float, float]]:
    """The children, the last to end first, each with the stretch that may count."""
    ended = sorted(enumerate(children), key=lambda one: (one[1].end, one[0]), reverse=True)
    others = [child for _, child in ended if child.outcome != "cancelled"]
    at = 0
    for _, child in ended:
        start = child.start
        if child.outcome == "cancelled":
            while at < len(others) and others[at].end > child.end:
                at += 1
            if at < len(others) and others[at].end > start:
                start = others[at].end  # that is what cancelled it
        yield child, start, child.end


def _own(span: Span, low: float, high: float, links: list[PathLink]) -> None:
    """Append, last first, the stretches from *low* to *high* in which nothing inside *span* counts."""
    reached = high
    for wait in _last_first(span.waits):
        start, end = _snapped(wait.start, wait.end, low, reached)
        if end - start > 0.0:
            _append(links, PathLink(span, end, reached))
            _append(links, PathLink(span, start, end, wait.reason))
            reached = start
    _append(links, PathLink(span, low, reached))


def _snapped(start: float, end: float, low: float, high: float) -> tuple[float, float]:
    """What is between *low* and *high* of a stretch; where it all but reaches them, it does."""
    return (start if start > low + _SLACK else low, end if end < high - _SLACK else high)


def _last_first(waits: tuple[Wait, ...]) -> Iterable[Wait]:
    return sorted(waits, key=lambda wait: (wait.end, wait.start), reverse=True)


def _append(links: list[PathLink], link: PathLink) -> None:
    if link.end > link.start:
        links.append(link)


def _joined(links: Iterable[PathLink]) -> Iterable[PathLink]:
    """Neighbours that say the same are one."""
    held: PathLink | None = None
    for link in links:
        if held is not None and held.span is link.span and held.reason == link.reason:
            held = PathLink(held.span, held.start, link.end, held.reason)
            continue
        if held is not None:
            yield held
        held = link
    if held is not None:
        yield held
