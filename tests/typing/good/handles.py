"""A started run is a handle: its result, its events, its id."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Engine, Run, RunResult, Subscription, Wiring, flow, step
from agentflow_trio.events import ExecutionEvent


@define
class Article:
    draft: str = ""


@step
async def write(article: Article) -> None:
    article.draft = "text"


@flow
def writing() -> Wiring[Article]:
    return [write.then(END)]


async def main() -> None:
    async with Engine() as engine, engine.start(writing, Article(), run_id="one") as run:
        assert_type(run, Run[Article])
        assert_type(run.run_id, str)
        events = run.events(after=-1, when_full="fail", pace=True)
        assert_type(events, Subscription)
        seen: list[str] = []
        async for event in events:
            assert_type(event, ExecutionEvent)
            seen.append(event.event_type)
        assert seen == ["run_start", "node_start", "node_success", "routed", "run_end"]
        assert_type(events.missed, int)
        result = await run.result()
        assert_type(result, RunResult[Article])
        assert result.state.draft == "text"
    async with Engine() as engine, engine.start(writing, Article()) as run:
        with run.events() as few:
            async for event in few:
                assert event.seq == 0
                break
