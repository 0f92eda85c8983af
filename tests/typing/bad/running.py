"""Running: the state a flow is given, the result it gives back, engines, handles, streams."""

from __future__ import annotations

from dataclasses import dataclass

from newsroom import (
    HTTP,
    TOKENS,
    Article,
    Client,
    Order,
    archive,
    editing,
    editorial,
    review,
    write,
)

from agentflow_trio import CancelReport, Engine, Resource, RunResult, Stream
from agentflow_trio.events import ExecutionEvent, NodeStarted


@dataclass
class Card:
    topic: str = ""


# ---- another state
async def another_state() -> None:
    await editorial.run(Order())  # bad


# ---- a dict for the state
async def a_dict() -> None:
    await editorial.run({"topic": "trio"})  # bad


# ---- a dataclass for the state of a flow of articles
async def a_dataclass() -> None:
    await editorial.run(Card())  # bad


# ---- the class of the state
async def a_class() -> None:
    await editorial.run(Article)  # bad


# ---- no state
async def no_state() -> None:
    await editorial.run()  # bad


# ---- the fields of the state
async def fields() -> None:
    await editorial.run(topic="trio")  # bad


# ---- an option of a run, misspelt
async def misspelt() -> None:
    await editorial.run(Article("trio"), timout=3.0)  # bad


# ---- a timeout as text
async def text_timeout() -> None:
    await editorial.run(Article("trio"), timeout="3s")  # bad


# ---- a run id that is no text
async def numbered() -> None:
    await editorial.run(Article("trio"), run_id=7)  # bad


# ---- a seed that is no whole number
async def sown() -> None:
    await editorial.run(Article("trio"), seed="7")  # bad


# ---- a run that nobody waits for
async def forgotten() -> None:
    editorial.run(Article("trio"))  # bad


# ---- a result that nobody waited for
async def too_early() -> None:
    result = editorial.run(Article("trio"))
    print(result.state)  # bad


# ---- an attribute of the state, misspelt
async def misspelt_state() -> None:
    result = await editorial.run(Article("trio"))
    print(result.state.drfat)  # bad


# ---- an attribute of the result, misspelt
async def misspelt_result() -> None:
    result = await editorial.run(Article("trio"))
    print(result.sate)  # bad


# ---- the result is not the state
async def not_the_state() -> Article:
    return await editorial.run(Article("trio"))  # bad


# ---- the result of another state
async def another_result() -> None:
    result: RunResult[Order] = await editorial.run(Article("trio"))  # bad
    print(result)


# ---- a flow may end without an exit
async def an_exit() -> str:
    result = await editing.run(Article("trio"))
    return result.exit  # bad


# ---- a result does not change
async def changed() -> None:
    result = await editing.run(Article("trio"))
    result.exit = "published"  # bad


# ---- what was visited does not change
async def visited() -> None:
    result = await editing.run(Article("trio"))
    result.visits["editing/write"] = 0  # bad


# ---- a result unpacked
async def unpacked() -> None:
    _state, _taken = await editing.run(Article("trio"))  # bad


# ---- a step alone with another state
async def step_alone() -> None:
    await write.run(Order())  # bad


# ---- a step alone with a dict
async def step_of_dict() -> None:
    await archive.run({"topic": "trio"})  # bad


# ---- a branching step alone, its exits are not for run
async def branching_alone() -> None:
    await review.run(Article("trio"), approved=archive)  # bad


# ---- a line, which cannot be run
async def line_alone() -> None:
    await write.then(archive).run(Article("trio"))  # bad


# ---- an engine with another state
async def engine_run() -> None:
    async with Engine() as engine:
        await engine.run(editorial, Order())  # bad


# ---- an engine with a dict
async def engine_dict() -> None:
    async with Engine() as engine:
        await engine.run(editorial, {"topic": "trio"})  # bad


# ---- an engine with the class of the state
async def engine_class() -> None:
    async with Engine() as engine:
        await engine.run(editorial, Article)  # bad


# ---- an engine with a step and a state that is not its own
async def engine_step() -> None:
    async with Engine() as engine:
        await engine.run(write, Order())  # bad


# ---- a step started on a state that is not its own
async def engine_step_started() -> None:
    async with Engine() as engine, engine.start(write, Order()):  # bad
        pass


# ---- an engine with flow and state the wrong way round
async def engine_swapped() -> None:
    async with Engine() as engine:
        await engine.run(Article("trio"), editorial)  # bad


# ---- an engine's option of a run, misspelt
async def engine_misspelt() -> None:
    async with Engine() as engine:
        await engine.run(editorial, Article("trio"), timout=3.0)  # bad


# ---- an engine's run that nobody waits for
async def engine_forgotten() -> None:
    async with Engine() as engine:
        engine.run(editorial, Article("trio"))  # bad


# ---- an engine not opened with async with
async def engine_with() -> None:
    with Engine() as engine:  # bad
        print(engine)  # bad: pyright


# ---- an engine's option, misspelt
Engine(max_step=3)  # bad

# ---- observers without their keyword
Engine([])  # bad

# ---- an engine's bound as text
Engine(max_runs="3")  # bad

# ---- a resource by its name
Engine(resources={"http": Client()})  # bad

# ---- resources without their values
Engine(resources=(HTTP,))  # bad

# ---- a resource of an object instead of a class
Resource("http", Client())  # bad

# ---- a resource of another class
http: Resource[Article] = Resource("http", Client)  # bad


# ---- start with another state
async def start_state() -> None:
    async with Engine() as engine, engine.start(editorial, Order()) as run:  # bad
        print(run.run_id)


# ---- start awaited
async def start_awaited() -> None:
    async with Engine() as engine:
        await engine.start(editorial, Article("trio"))  # bad


# ---- start without async
async def start_sync() -> None:
    async with Engine() as engine:
        with engine.start(editorial, Article("trio")) as run:  # bad
            print(run)  # bad: pyright


# ---- the handle's result without await
async def handle_early() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        print(run.result().state)  # bad


# ---- the handle's result of another state
async def handle_state() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        order: Order = (await run.result()).state  # bad
        print(order)


# ---- events without async for
async def events_sync() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        for event in run.events():  # bad
            print(event)  # bad: pyright


# ---- events awaited
async def events_awaited() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        print(await run.events())  # bad


# ---- events with a policy that there is not
async def events_policy() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        run.events(when_full="drop_newest")  # bad


# ---- events are more than one kind
async def events_kind() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        async for event in run.events():
            started: NodeStarted = event  # bad
            print(started)


# ---- an event has no attribute that only some have
async def events_attribute() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        async for event in run.events():
            print(event.exit)  # bad


# ---- a cancellation without a reason
async def no_reason() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        await run.cancel()  # bad


# ---- a cancellation that nobody waits for
async def cancel_forgotten() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        run.cancel("enough")  # bad


# ---- a request to cancel, awaited
async def request_awaited() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        await run.request_cancel("enough")  # bad


# ---- a cancellation gives a report, not the result
async def cancel_result() -> Article:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        report: CancelReport = await run.cancel("enough")
        return report.state  # bad


# ---- a stream by its name
async def stream_name() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        run.stream("tokens")  # bad


# ---- a stream without async for
async def stream_sync() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        print(list(run.stream(TOKENS)))  # bad


# ---- chunks have the type of their stream
async def stream_chunk() -> None:
    async with Engine() as engine, engine.start(editorial, Article("trio")) as run:
        async for token in run.stream(TOKENS):
            number: int = token  # bad
            print(number)


# ---- a stream of another class
tokens: Stream[int] = Stream("tokens", str)  # bad

# ---- a stream without the class of its chunks
Stream("tokens")  # bad


# ---- a list of flows of two states, run with one
async def both(event: ExecutionEvent) -> None:
    for one in (editing, editorial):
        await one.run(Article("trio"))
        await one.run(event)  # bad
