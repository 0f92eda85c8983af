"""Strategies: each knows what it draws, and what is spawned keeps its result's type."""

from __future__ import annotations

from typing import assert_type

import trio
from attrs import define
from hypothesis.strategies import SearchStrategy, just

from agentflow_trio import (
    END,
    AdaptiveTimeout,
    CircuitPolicy,
    Flow,
    HedgePolicy,
    RetryPolicy,
    RunResult,
    WindowPolicy,
    Wiring,
    flow,
    step,
)
from agentflow_trio.robustness import Guard
from agentflow_trio.testing import Faults, Simulation, Spawned, simulate
from agentflow_trio.testing.strategies import (
    SimulationMachine,
    circuit_policies,
    durations,
    fault_plans,
    flows,
    guards,
    hedge_policies,
    retry_policies,
    scripted_flows,
    states,
    timeouts,
    window_policies,
)


@define
class Article:
    title: str = ""


@step
async def write(article: Article) -> None:
    article.title = "text"


@flow(name="writing")
def writing() -> Wiring[Article]:
    return [write.then(END)]


async def nap(seconds: float, times: int) -> str:
    await trio.sleep(seconds * times)
    return "rested"


assert_type(retry_policies(max_attempts=3), SearchStrategy[RetryPolicy])
assert_type(guards(longest=3.0), SearchStrategy[list[Guard]])
assert_type(scripted_flows(Article, guarded=True), SearchStrategy[Flow[Article, []]])
assert_type(circuit_policies(exact=True), SearchStrategy[CircuitPolicy])
assert_type(hedge_policies(max_attempts=2), SearchStrategy[HedgePolicy])
assert_type(window_policies(), SearchStrategy[WindowPolicy])
assert_type(timeouts(), SearchStrategy[float | AdaptiveTimeout])
assert_type(durations(3.0), SearchStrategy[float])
assert_type(states(Article, title=just("x")), SearchStrategy[Article])
assert_type(flows(Article, write), SearchStrategy[Flow[Article, []]])
assert_type(scripted_flows(Article), SearchStrategy[Flow[Article, []]])
assert_type(fault_plans(writing, "save"), SearchStrategy[Faults])


class Machine(SimulationMachine):
    def come(self) -> None:
        assert_type(self.sim, Simulation[None, None])
        assert_type(self.spawn(nap, 1.0, 2), Spawned[str])
        assert_type(self.spawn(writing.run, Article()), Spawned[RunResult[Article]])


def run() -> None:
    state = Machine()
    state.come()
    state.teardown()
    with simulate(lambda: nap(1.0, 1)) as sim:
        napping = sim.spawn(nap, 1.0, 3, name="nap")
        sim.run()
        assert_type(napping.result, str)
        assert napping.result == "rested"
        assert sim.time == 3.0


async def main() -> None:
    await trio.to_thread.run_sync(run)  # a simulation runs Trio itself
