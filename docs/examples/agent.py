"""An agent that answers questions about the pages below this folder, whatever befalls its model.

    export OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=qwen3    # and OPENAI_API_KEY
    python docs/examples/agent.py "What becomes of a cleanup that hangs?"

It thinks, sends out researchers at once, reads what they found and thinks again, eight times at
most. A researcher is an agent, too, a flow inside this one, with tools. A tool or a researcher that
fails costs the others nothing; the model is told. A model that fails is asked again, no sooner than
it wishes. All share a circuit breaker, a pace and a budget of calls; what is said is streamed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import trio
from attrs import frozen
from outcome import Error, Maybe

from agentflow_trio import (
    END,
    CircuitBreaker,
    CircuitPolicy,
    Engine,
    Next,
    RateLimiter,
    Resource,
    RetryPolicy,
    Share,
    Step,
    Stream,
    Wiring,
    current_step,
    each,
    flow,
    fork,
    step,
)
from agentflow_trio.observe.logs import Logs, console_logger
from endpoint import Call, Chat, Message, Model, RefusedError, Tool, connected, options, toolbox


@frozen
class Token:
    """What is said next at *path*. restart: what was said there is void, for it broke off."""

    path: str
    text: str = ""
    restart: bool = False


MODEL: Final = Resource("model", Model)
TOKENS: Final = Stream("tokens", Token)


class Think:
    """Have the model say the answer, or what it asks for."""

    async def prep(self, shared: Chat) -> Chat:
        return fork(shared)

    async def exec(self, chat: Chat) -> Message:
        here = current_step()
        if here.attempt > 1:
            await here.emit(TOKENS, Token(here.path, restart=True))
        model = here.use(MODEL)
        return await model.ask(chat, lambda text: here.emit(TOKENS, Token(here.path, text)))

    async def post(
        self, shared: Chat, _: object, reply: Message, *, answered: Next, asks: Next
    ) -> Next:
        shared.messages += (reply,)
        return asks if reply.calls else answered


again = RetryPolicy(
    max_attempts=8, base_delay=1.0, max_delay=8.0, ignore=RefusedError, on_rejected="wait"
)
circuit = CircuitBreaker("model", CircuitPolicy(recovery_timeout=10.0, ignore=RefusedError))
pace = RateLimiter("pace", limit=60, window=60.0)
think = Step(
    Think(),
    timeout=300.0,
    retry=again,
    guards=(circuit, pace),
    attempt_timeout=60.0,
    max_visits=8,
    uses=(MODEL,),
)


@step
async def give_up(chat: Chat) -> None:
    chat.messages += (Message("assistant", f"I gave up: {current_step().caught}"),)


def told(chat: Chat, results: Sequence[Maybe[object]]) -> None:
    """Tell the model what came of each thing it asked for; an error is for it to judge."""
    for call, end in zip(chat.last.calls, results, strict=True):
        text = f"error: {end.error!r}" if isinstance(end, Error) else str(end.value)
        chat.messages += (Message("tool", text[:20_000], answers=call.id),)


async def search(words: str) -> str:
    """Find the lines of all pages that have these words in them."""
    found, wanted = list[str](), words.lower().split()
    for page in sorted(await trio.Path().rglob("*.md")):
        lines = (await page.read_text("utf-8", "replace")).splitlines()
        hits = (line for line in lines if all(word in line.lower() for word in wanted))
        found += (f"{page}: {line}" for line in hits)
    return "\n".join(found)


async def read(file: str) -> str:
    """Read a page."""
    page = await trio.Path(file).resolve()
    if not page.is_relative_to(await trio.Path.cwd()):
        raise PermissionError(f"{file} is not below this folder")
    return await page.read_text("utf-8")


TOOLS: Final = toolbox(search=search, read=read)


class Use:
    """Use the tools that the model asks for, at once."""

    async def prep(self, shared: Chat) -> Sequence[Call]:
        return shared.last.calls

    async def exec(self, call: Call) -> str:
        current_step().report(0.0, f"{call.tool} {call.arguments}")
        return await call.on(TOOLS)

    async def post(self, shared: Chat, _: object, results: Sequence[Maybe[str]]) -> None:
        told(shared, results)


use = Step(each(Use(), concurrent=8, tolerate=Share(1.0), attempt_timeout=30.0), name="use")


@flow
def researcher() -> Wiring[Chat]:
    """Have a question looked into; if there are several, ask for all at once."""
    return [
        think.to(answered=END, asks=use).catch(Exception, to=give_up),
        use.then(think),
        give_up.then(END),
    ]


def questions(chat: Chat) -> Sequence[Chat]:
    task = "Look into this with your tools. Say what you find, and in which files."
    tools = [Tool.of(name, tool) for name, tool in TOOLS.items()]
    return [Chat.of(call.arguments, task, *tools) for call in chat.last.calls]


research = Step(
    each(researcher.over(questions, told), concurrent=4, tolerate=Share(1.0)), name="research"
)


@flow
def agent(*, answered: Next, stopped: Next) -> Wiring[Chat]:
    """Answer a question with the help of researchers."""
    return [
        think.to(answered=answered, asks=research).catch(Exception, to=give_up),
        research.then(think),
        give_up.then(stopped),
    ]


def question(text: str) -> Chat:
    task = "Answer from what your researchers find in the pages; name the files."
    return Chat.of(text, task, Tool("research", researcher.doc, ("question",)))


async def main() -> None:
    given, logs = options(), Logs(console_logger(sys.stderr), level="warning")
    async with (
        connected(given.url, given.model, given.budget) as model,
        Engine(resources={MODEL: model}, observers=[logs]) as engine,
        engine.start(agent, question(given.question)) as run,
    ):
        async for token in run.stream(TOKENS):
            if token.path.startswith("agent/think"):
                print("\n(again) " if token.restart else token.text, end="", flush=True)
        result = await run.result()
    print()
    if result.exit == "stopped":
        sys.exit(result.state.last.content)


if __name__ == "__main__":
    trio.run(main)
