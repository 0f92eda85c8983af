"""Spans in memory, and trees of them as lines."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from typing_extensions import override

from agentflow_trio.observe.otel import SimulatedIds

__all__ = ["Spans", "attribute", "parent_of", "seconds"]


def attribute(span: ReadableSpan, name: str) -> object:
    """An attribute of the package's; None if it is not there."""
    return (span.attributes or {}).get(f"agentflow.{name}")


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    found: int = span.context.span_id
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def seconds(span: ReadableSpan) -> tuple[float, float]:
    """When it began and ended, since the beginning of a simulation."""
    epoch = 946_684_800_000_000_000
    return ((span.start_time or 0) - epoch) / 1e9, ((span.end_time or 0) - epoch) / 1e9


class Spans(SpanProcessor):
    """A provider and its spans, in the order in which they ended."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False, id_generator=SimulatedIds())
        self.provider.add_span_processor(self)
        self.all: list[ReadableSpan] = []
        self._begun: list[int] = []

    @override
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._begun.append(id_of(span))

    @override
    def on_end(self, span: ReadableSpan) -> None:
        self.all.append(span)

    @property
    def open(self) -> int:
        """How many have not ended."""
        return len(self._begun) - len(self.all)

    def named(self, name: str) -> ReadableSpan:
        """The only one of that name."""
        (span,) = [span for span in self.all if span.name == name]
        return span

    def tree(self) -> list[str]:
        """A line per span, ``name path outcome``, each below the one it is in, in the order in which they began."""
        return [line for span in self._inside(None) for line in self._lines(span, "")]

    def _lines(self, span: ReadableSpan, margin: str) -> list[str]:
        words = [span.name, attribute(span, "path"), attribute(span, "outcome")]
        if attribute(span, "kind") == "attempt":
            words.append(f"@{attribute(span, 'attempt')}")
        line = margin + " ".join(str(word) for word in words if word is not None)
        inside = self._inside(id_of(span))
        return [line, *(each for one in inside for each in self._lines(one, f"{margin}  "))]

    def _inside(self, around: int | None) -> list[ReadableSpan]:
        """Those whose parent is *around*; None: those whose parent is not here."""
        here = {id_of(span) for span in self.all}
        inside = [
            span
            for span in self.all
            if (parent if (parent := parent_of(span)) in here else None) == around
        ]
        return sorted(inside, key=lambda span: self._begun.index(id_of(span)))
