"""An engine runs flows of any state and gives each its own type of result."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Engine, RunResult, SharedState, StateKey, Wiring, flow, step

COUNT = StateKey("count", int)


@define
class Article:
    draft: str = ""


@step
async def write(article: Article) -> None:
    article.draft = "text"


@step
async def count(shared: SharedState) -> None:
    shared.insert(COUNT, shared.get(COUNT, 0) + 1)


@flow
def writing() -> Wiring[Article]:
    return [write.then(END)]


@flow
def counting() -> Wiring[SharedState]:
    return [count.then(END)]


async def main() -> None:
    async with Engine(seed=7, max_runs=2, max_steps=100, cleanup_grace=1) as engine:
        assert_type(engine, Engine)
        written = await engine.run(writing, Article(), timeout=60.0, run_id="one", seed=3)
        assert_type(written, RunResult[Article])
        counted = await engine.run(counting, SharedState())
        assert_type(counted, RunResult[SharedState])
        assert (written.state.draft, counted.state[COUNT]) == ("text", 1)
