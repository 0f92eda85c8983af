"""Strategies and machines: what is drawn, and what is spawned."""

from __future__ import annotations

import trio
from attrs import define
from hypothesis.strategies import SearchStrategy

from agentflow_trio import CircuitPolicy, RetryPolicy, step
from agentflow_trio.testing import simulate
from agentflow_trio.testing.strategies import (
    SimulationMachine,
    fault_plans,
    flows,
    retry_policies,
    states,
    wrongs,
)


@define
class Article:
    title: str = ""


@define
class Order:
    number: int = 0


@step
async def write(article: Article) -> None:
    article.title = "text"


async def nap(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


# ---- policies of another guard
policies: SearchStrategy[CircuitPolicy] = retry_policies()  # bad


# ---- a setting that there is not
retry_policies(attempts=3)  # bad


# ---- states of what is no attrs class
states(int)  # bad


# ---- a field drawn from a value instead of a strategy
states(Article, title="x")  # bad


# ---- steps for another state
flows(Order, write)  # bad


# ---- an error instead of a list of them
wrongs(errors=TimeoutError)  # bad


# ---- a name that is none
fault_plans(write)  # bad


# ---- a caller without its argument
with simulate(lambda: nap(1.0)) as sim:
    sim.spawn(nap)  # bad


# ---- a caller with a wrong one
class Machine(SimulationMachine):
    def come(self) -> None:
        self.spawn(nap, "long")  # bad


# ---- a result taken for another
def result_of(policy: RetryPolicy) -> str:
    with simulate(lambda: nap(1.0)) as sim:
        napping = sim.spawn(nap, 1.0)
        sim.run()
        return napping.result  # bad
