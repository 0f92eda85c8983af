"""A recorded run: its state, statistics and values keep their types at any time."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import assert_type

import trio
from attrs import define

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitPolicy,
    Retry,
    Wiring,
    flow,
    step,
)
from agentflow_trio.events import ExecutionEvent, NodeSucceeded
from agentflow_trio.robustness import CircuitStatistics, RetryStatistics
from agentflow_trio.testing import (
    Cancel,
    Delay,
    Diff,
    Duplicate,
    Faults,
    LostReply,
    Moment,
    Scripted,
    Series,
    TaskHistory,
    Timeline,
    always,
    chance,
    error_rate,
    first,
    record,
    script,
)


@define
class Article:
    draft: str = ""


breaker = CircuitBreaker("llm", CircuitPolicy())
retry = Retry()


@step(guards=(breaker,))
async def write(article: Article) -> None:
    await trio.sleep(1)
    article.draft = "text"


@flow
def writing() -> Wiring[Article]:
    return [write.then(END)]


async def program() -> int:
    await retry.call(trio.sleep, 1)
    return 3


async def with_dice(dice: Random) -> str:
    await trio.sleep(dice.random())
    return "x"


def run() -> None:
    timeline = record(writing, Article(), seed=7)
    assert_type(timeline, Timeline[Article])
    assert_type(timeline.at(12.5), Moment[Article])
    assert_type(timeline.at(12.5).state, Article)
    assert_type(timeline.final.state.draft, str)
    assert_type(timeline.at(1.5).of(breaker), CircuitStatistics)
    assert_type(timeline.select(), Sequence[ExecutionEvent])
    assert_type(timeline.select(NodeSucceeded, path="writing/write"), Sequence[NodeSucceeded])
    assert_type(timeline.watch("draft", lambda now: len(now.state.draft)), Series[int])
    assert_type(timeline.watch("llm", lambda now: now.of(breaker)).at(3), CircuitStatistics)
    fork = timeline.fork(at=0.5, replacing={write: Scripted(Article, [2.0])}, seed=3)
    assert_type(fork, Timeline[Article])
    fork = fork.fork(at=1.0, replacing={write: write.with_(retry=None)}, doing=breaker.open)
    assert_type(fork, Timeline[Article])
    assert_type(timeline.diff(fork), Diff)
    assert_type(timeline.error, Exception | None)
    assert_type(timeline.tasks, Sequence[TaskHistory])
    with timeline.live(0.5) as sim:
        assert_type(sim.state, Article)
        assert_type(sim.moment, Moment[Article])
        assert sim.moment == timeline.at(0.5)

    plain = record(program)
    assert_type(plain, Timeline[None])
    assert_type(plain.final.state, None)
    assert_type(plain.final.of(retry), RetryStatistics)
    assert_type(plain.watch("time", lambda now: now.time), Series[float])
    assert record(with_dice, faults=None).result == "x"

    faults = Faults(
        {"write[3]": first(1, LostReply(OSError)), "writing/write#2": always(Cancel())},
        write=chance(0.5, Delay(0.5, 2.0, then=TimeoutError)),
        llm=script([None, Duplicate(), OSError("gone")]),
        other=error_rate(0.1),
        own=lambda call: Delay(1.0) if call == 2 else None,
    )
    assert faults.names[-1] == "own"


async def main() -> None:
    await trio.to_thread.run_sync(run)  # a simulation runs Trio itself
