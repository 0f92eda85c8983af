"""A cache that the steps of many runs share: limits, retries and events of each run are its own."""

from __future__ import annotations

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Engine,
    Flow,
    FlowFailedError,
    LoadFailedError,
    RetryPolicy,
    TTLCache,
    Wiring,
    current_step,
    flow,
    step,
)
from agentflow_trio.events import CacheHit, LoadEnded

from .engine_kit import Recorder


@attrs.define
class Answer:
    text: str = ""


async def slowly(key: str) -> str:
    await trio.sleep(2.0)
    return f"{key} by {current_step().run_id}"


async def test_a_step_that_runs_out_of_time_hands_the_load_on_to_another_run(
    autojump_clock: MockClock,
) -> None:
    cache = TTLCache(slowly, ttl=60.0, name="answers")
    recorder, failed = Recorder(), list[Exception]()

    @step(timeout=1.0)
    async def in_haste(answer: Answer) -> None:
        answer.text = await cache.get("why")

    @step
    async def ask(answer: Answer) -> None:
        answer.text = await cache.get("why")

    @flow
    def hasty() -> Wiring[Answer]:
        return [in_haste.then(END)]

    @flow
    def patient() -> Wiring[Answer]:
        return [ask.then(END)]

    async def run_hasty(engine: Engine) -> None:
        try:
            await engine.run(hasty, Answer(), run_id="first")
        except FlowFailedError as error:
            failed.append(error.only())

    async with Engine(observers=[recorder]) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(run_hasty, engine)
        await wait_all_tasks_blocked()
        result = await engine.run(patient, Answer(), run_id="second")
    assert result.state.text == "why by second"
    assert trio.current_time() == 3.0
    assert isinstance(failed[0], DeadlineExceededError)
    told = [event for event in recorder.events if isinstance(event, CacheHit | LoadEnded)]
    assert [(event.run_id, event.path, event.event_type) for event in told] == [
        ("second", "patient/ask", "cache_hit"),
        ("first", "hasty/in_haste", "load_end"),
        ("second", "patient/ask", "load_end"),
    ]


async def test_a_step_tries_again_whether_it_loaded_or_waited(
    autojump_clock: MockClock,
) -> None:
    begun: list[float] = []

    async def load(key: str) -> str:
        begun.append(trio.current_time())
        await trio.sleep(1.0)
        if len(begun) == 1:
            raise ConnectionError
        return key

    cache = TTLCache(load, ttl=60.0)

    @step(retry=RetryPolicy(base_delay=1.0, on=ConnectionError))
    async def ask(answer: Answer) -> None:
        answer.text = await cache.get("why")

    @flow
    def asking() -> Wiring[Answer]:
        return [ask.then(END)]

    texts: list[str] = []

    async def run() -> None:
        texts.append((await asking.run(Answer())).state.text)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(run)
    assert texts == ["why"] * 3
    assert len(begun) == 2


async def test_what_a_shared_load_failed_with_is_caught_and_replaced_in_all_who_shared_it(
    autojump_clock: MockClock,
) -> None:
    async def load(key: str) -> str:
        await trio.sleep(1.0)
        raise ExceptionGroup("both", [ConnectionError(key), TimeoutError(key)])

    cache = TTLCache(load, ttl=60.0)

    @step
    async def ask(answer: Answer) -> None:
        answer.text = await cache.get("why")

    @step
    async def apologise(answer: Answer) -> None:
        answer.text = "sorry"

    @flow
    def caught() -> Wiring[Answer]:
        return [ask.then(END).catch(OSError, to=apologise), apologise.then(END)]

    @flow
    def not_caught() -> Wiring[Answer]:
        return [ask.then(END).catch(ConnectionError, to=apologise), apologise.then(END)]

    ended: list[str] = []

    async def run(asking: Flow[Answer, ...]) -> None:
        try:
            ended.append((await asking.run(Answer())).state.text)
        except FlowFailedError as error:
            ended.append(type(error.only()).__name__)

    for asking in (caught, not_caught):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(run, asking)
    assert ended[:3] == ["sorry"] * 3
    assert sorted(ended[3:]) == ["ExceptionGroup", "LoadFailedError", "LoadFailedError"]


async def test_a_shared_load_that_lost_its_cause_is_caught_by_its_own_name(
    autojump_clock: MockClock,
) -> None:
    @step
    async def ask(answer: Answer) -> None:
        await trio.lowlevel.checkpoint()
        raise LoadFailedError(guard="far away")  # as from another process

    @step
    async def apologise(answer: Answer) -> None:
        answer.text = "sorry"

    @flow
    def asking() -> Wiring[Answer]:
        return [
            ask.then(END).catch(OSError, to=ask).catch(LoadFailedError, to=apologise),
            apologise.then(END),
        ]

    assert (await asking.run(Answer())).state.text == "sorry"
