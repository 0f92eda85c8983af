"""Inside a step: what current_step() gives and takes."""
# ruff: noqa: ASYNC105 - some of what is wrong here, ruff sees too

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from newsroom import HTTP, TOKENS, Article, Client

from agentflow_trio import current_step, step


@asynccontextmanager
async def connection() -> AsyncGenerator[Client]:
    yield Client()


def length(text: str, times: int) -> int:
    return len(text) * times


# ---- a resource by its name
async def by_name() -> None:
    current_step().use("http")  # bad


# ---- a resource by its class
async def by_class() -> None:
    current_step().use(Client)  # bad


# ---- a resource has the type of its value
async def typed() -> None:
    text: str = current_step().use(HTTP)  # bad
    print(text)


# ---- a method of a resource, misspelt
async def misspelt() -> None:
    await current_step().use(HTTP).gte("page")  # bad


# ---- use awaited
async def use_awaited() -> None:
    await current_step().use(HTTP)  # bad


# ---- a thread's function with the wrong argument
async def thread_argument() -> None:
    await current_step().to_thread(length, "trio", "3")  # bad


# ---- a thread's function with an argument missing
async def thread_missing() -> None:
    await current_step().to_thread(length, "trio")  # bad


# ---- a thread's function with an argument by keyword
async def thread_keyword() -> None:
    await current_step().to_thread(length, "trio", times=3)  # bad


# ---- a thread's function, called
async def thread_called() -> None:
    await current_step().to_thread(length("trio", 3))  # bad


# ---- the result of a thread
async def thread_result() -> str:
    return await current_step().to_thread(length, "trio", 3)  # bad


# ---- a thread that nobody waits for
async def thread_forgotten() -> None:
    current_step().to_thread(length, "trio", 3)  # bad


# ---- a process's function with the wrong argument
async def process_argument() -> None:
    await current_step().to_process(length, "trio", "3")  # bad


# ---- a process's function with a setting of threads
async def process_abandoned() -> None:
    await current_step().to_process(length, "trio", 3, abandon_on_cancel=True)  # bad


# ---- enter: a function instead of a context manager
async def enter_function() -> None:
    await current_step().enter(connection)  # bad


# ---- enter: something that is no context manager
async def enter_client() -> None:
    await current_step().enter(Client())  # bad


# ---- enter: an open_file that nobody waited for
async def enter_early() -> None:
    await current_step().enter(trio.open_file("page"))  # bad


# ---- enter has the type of what is entered
async def enter_typed() -> None:
    text: str = await current_step().enter(connection())  # bad
    print(text)


# ---- enter that nobody waits for
async def enter_forgotten() -> None:
    current_step().enter(connection())  # bad


# ---- on_cleanup: a function that is not async
async def cleanup_sync() -> None:
    current_step().on_cleanup(Path("page").unlink)  # bad


# ---- on_cleanup: the wrong argument
async def cleanup_argument() -> None:
    current_step().on_cleanup(trio.sleep, "3")  # bad


# ---- on_cleanup: an argument missing
async def cleanup_missing() -> None:
    current_step().on_cleanup(trio.sleep)  # bad


# ---- on_cleanup: called already
async def cleanup_called() -> None:
    current_step().on_cleanup(trio.sleep(3.0))  # bad


# ---- on_cleanup awaited
async def cleanup_awaited() -> None:
    await current_step().on_cleanup(trio.sleep, 3.0)  # bad


# ---- emit: a chunk of another type
async def emit_chunk() -> None:
    await current_step().emit(TOKENS, 3)  # bad


# ---- emit: a stream by its name
async def emit_name() -> None:
    await current_step().emit("tokens", "text")  # bad


# ---- emit that nobody waits for
async def emit_forgotten() -> None:
    current_step().emit(TOKENS, "text")  # bad


# ---- a report without a number
async def report_text() -> None:
    current_step().report("half")  # bad


# ---- a report with its text by keyword
async def report_keyword() -> None:
    current_step().report(0.5, message="half")  # bad


# ---- the error that led here may be none
async def caught() -> BaseException:
    return current_step().caught  # bad


# ---- a visit is a number
async def visit() -> str:
    return current_step().visit  # bad


# ---- what a step knows does not change
async def attempt() -> None:
    current_step().attempt = 1  # bad


# ---- an attribute that there is not
async def item() -> None:
    print(current_step().state)  # bad


# ---- current_step is a function
@step
async def uncalled(article: Article) -> None:
    article.draft = current_step.path  # bad


# ---- now is a method
async def now() -> float:
    return current_step().now  # bad
