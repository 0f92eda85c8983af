"""What the tests of metrics have in common: a state, steps that do as told, and what a collector shows as lines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs
import trio

from agentflow_trio import END, Flow, Next, Step, Wiring, flow, merged_by, step, summed
from agentflow_trio.observe import Histogram, MetricsCollector


@attrs.define
class Notes:
    """The state of every flow here."""

    count: int = attrs.field(default=0, metadata=merged_by(summed))


def doing(act: Callable[[], Awaitable[object]], name: str) -> Step[Notes, []]:
    """A function step that does *act*."""

    @step(name=name)
    async def does(notes: Notes) -> None:
        await act()
        notes.count += 1

    return does


def taking(seconds: float, name: str) -> Step[Notes, []]:
    """A function step that sleeps."""

    async def sleep() -> None:
        await trio.sleep(seconds)

    return doing(sleep, name)


def raising(error: Exception, name: str) -> Step[Notes, []]:
    """A function step that takes a second and raises *error*."""

    async def fail() -> None:
        await trio.sleep(1.0)
        raise error

    return doing(fail, name)


def choosing(times: int, name: str) -> Step[Notes, ...]:
    """A function step with the exits ``again``, which it takes below *times*, and ``done``; half a second each time."""

    @step(name=name)
    async def chooses(notes: Notes, *, again: Next, done: Next) -> Next:
        await trio.sleep(0.5)
        notes.count += 1
        return again if notes.count < times else done

    return chooses


def row(name: str, *steps: Step[Notes, []]) -> Flow[Notes, []]:
    """A flow of *steps* in a row."""

    @flow(name=name)
    def in_a_row() -> Wiring[Notes]:
        following = [*steps[1:], END]
        return [one.then(after) for one, after in zip(steps, following, strict=True)]

    return in_a_row


def shown(metrics: MetricsCollector) -> Mapping[str, float]:
    """Every number, by ``name{labels}``; of a histogram its count and its sum."""
    lines: dict[str, float] = {}
    for family in metrics.snapshot():
        short = family.metric.name.removeprefix("agentflow_")
        for sample in family.samples:
            labels = ",".join(sample.labels)
            if isinstance(sample.value, Histogram):
                lines[f"{short}_count{{{labels}}}"] = sample.value.count
                lines[f"{short}_sum{{{labels}}}"] = sample.value.total
            else:
                lines[f"{short}{{{labels}}}"] = sample.value
    return lines
