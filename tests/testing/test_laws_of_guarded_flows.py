"""Drawn flows with retries, hedges, limits and shared guards, under drawn faults: what holds for all of them.

The same for shapes without guards is in ``test_timelines_of_shapes``.
"""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow_trio import Flow, FlowFailedError
from agentflow_trio.testing import Faults, record, simulate
from agentflow_trio.testing.strategies import fault_plans, scripted_flows

pytestmark = pytest.mark.slow
few = settings(max_examples=max(settings().max_examples // 4, 1))
"""Each example is several runs."""


@attrs.define
class Nothing:
    """Nothing is done to it."""


drawn = scripted_flows(Nothing, guarded=True, longest=3.0, errors=[OSError("down")])


@st.composite
def with_faults(draw: st.DrawFn) -> tuple[Flow[Nothing, []], Faults]:
    made = draw(drawn)
    return made, draw(fault_plans(made, longest=3.0))


@few
@given(with_faults(), st.floats(0, 1.1), st.integers(0, 9))
def test_a_fork_without_a_change_is_the_same_and_live_is_what_was_recorded(
    made: tuple[Flow[Nothing, []], Faults], share: float, seed: int
) -> None:
    timeline = record(made[0], Nothing(), seed=seed, faults=made[1])
    at = share * timeline.duration
    same = timeline.fork(at=at)
    assert same.trace == timeline.trace
    assert not timeline.diff(same)
    with timeline.live(at) as sim:
        assert sim.moment == timeline.at(at)


@few
@given(with_faults(), st.integers(0, 9))
def test_a_run_leaves_nothing_behind_and_fails_only_as_a_flow_does(
    made: tuple[Flow[Nothing, []], Faults], seed: int
) -> None:
    with simulate(made[0], Nothing(), seed=seed, faults=made[1]) as sim:  # noqa: SIM117 - what it raises at its end is no failure of the flow
        with suppress(FlowFailedError):
            sim.run()
    sim.assert_no_leaks()
