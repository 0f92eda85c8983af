"""Timelines of random trees of all shapes: what is recorded is what is seen live, forks part where they were made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from shape_trees import Ledger, Tree, Words, row_of, trees

from agentflow_trio import Flow, Step
from agentflow_trio.testing import record

shares = st.floats(0, 1.1)


@given(trees, st.lists(shares, min_size=1, max_size=4), st.integers(0, 9))
def test_live_is_what_was_recorded(tree: Tree, when: list[float], seed: int) -> None:
    timeline = record(row_of([(tree, "t")], "f", Ledger()), Words(), seed=seed)
    for share in when:
        with timeline.live(share * timeline.duration) as sim:
            assert sim.moment == timeline.at(share * timeline.duration)


@given(trees, shares)
def test_a_fork_is_the_same_until_it_differs(tree: Tree, share: float) -> None:
    timeline = record(row_of([(tree, "t")], "f", Ledger()), Words())
    at = share * timeline.duration
    same, other = timeline.fork(at=at), timeline.fork(at=at, seed=1)
    assert same.trace == timeline.trace
    assert not timeline.diff(same)
    assert timeline.at(at) == other.at(at)
    parted = timeline.diff(other).time
    assert parted is None or parted >= at


def steps_of(flow: Flow[Any, ...]) -> Iterator[Step[Any, ...]]:
    """All its steps, those in its steps included."""
    for edge in flow.edges:
        yield from _with_inner(edge.source)


def _with_inner(step: Step[Any, ...]) -> Iterator[Step[Any, ...]]:
    yield step
    for branch in step.branches:
        yield from _with_inner(branch)
    if step.flow is not None:
        yield from steps_of(step.flow)


@given(trees, shares, st.integers(0, 99))
def test_a_fork_to_the_same_step_is_the_same(tree: Tree, share: float, number: int) -> None:
    flow = row_of([(tree, "t")], "f", Ledger())
    timeline = record(flow, Words())
    steps = [*steps_of(flow)]
    step = steps[number % len(steps)]
    fork = timeline.fork(at=share * timeline.duration, replacing={step: step.node})
    assert fork.trace == timeline.trace
    assert not timeline.diff(fork)
    assert repr(fork.error) == repr(timeline.error)


@given(trees)
def test_histories_cover_the_run(tree: Tree) -> None:
    timeline = record(row_of([(tree, "t")], "f", Ledger()), Words())
    for history in timeline.tasks:
        assert 0 <= history.began <= (history.ended or timeline.duration) <= timeline.duration
        assert all(wait.end is not None for wait in history.waits)
