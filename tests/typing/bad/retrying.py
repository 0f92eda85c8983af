"""Retries and timeouts: their settings, their three forms, the functions they call."""
# ruff: noqa: ASYNC910, RET503 - some of what is wrong here, ruff sees too

from __future__ import annotations

from agentflow_trio import AdaptiveTimeout, Retry, RetryBudget, RetryPolicy, Timeout

retry = Retry(RetryPolicy())
timeout = Timeout(3.0)


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


# ---- retry.call with an argument missing
async def argument_missing() -> None:
    await retry.call(fetch, "x")  # bad


# ---- retry.call with an argument of another type
async def argument_type() -> None:
    await retry.call(fetch, "x", "3")  # bad


# ---- retry.call with a keyword for the function
async def keyword() -> None:
    await retry.call(fetch, "x", depth=3)  # bad


# ---- retry.call with a coroutine instead of a function
async def coroutine() -> None:
    await retry.call(fetch("x", 3))  # bad


# ---- retry.call with a function that is not async
async def not_async() -> None:
    await retry.call(len, "x")  # bad


# ---- the result of retry.call has the type of the function's
async def result() -> None:
    text: str = await retry.call(fetch, "x", 3)  # bad
    print(text)


# ---- retry_if is asked about the function's result
def is_empty(text: str) -> bool:
    return not text


async def retry_if() -> None:
    await retry.call(fetch, "x", 3, retry_if=is_empty)  # bad


# ---- a retry repeats its body, so it cannot be entered
async def entered() -> None:
    async with retry:  # bad
        ...


# ---- a loop without async
async def sync_loop() -> None:
    for _ in retry:  # bad
        ...


# ---- an attempt without async
async def sync_attempt() -> None:
    async for attempt in retry:
        with attempt:  # bad
            ...


# ---- a value does not leave by the loop
async def value_from_loop() -> int:  # bad
    async for attempt in retry:
        async with attempt:
            return 3


# ---- what the loop binds may be unbound
async def unbound() -> int:
    async for attempt in retry:
        async with attempt:
            found = 3
    return found  # bad: pyright


# ---- a decorated function that is not async
@retry  # bad
def sync_function() -> int:
    return 3


# ---- a decorated function keeps its parameters
@retry
async def ask(question: str, *, model: str = "m") -> int:
    return len(question + model)


async def parameters() -> None:
    await ask("x", modle="y")  # bad


# ---- a decorated function keeps its result
async def decorated_result() -> None:
    text: str = await ask("x")  # bad
    print(text)


# ---- a method that is decorated keeps its parameters
class Reader:
    @retry
    async def get(self, url: str) -> bytes:
        return url.encode()


async def method() -> None:
    await Reader().get(3)  # bad


# ---- a setting, misspelt
Retry(RetryPolicy(max_attempt=5))  # bad

# ---- settings belong to the policy
Retry(max_attempts=5)  # bad

# ---- a number is no policy
Retry(3)  # bad

# ---- a kind of jitter that there is not
RetryPolicy(jitter_kind="some")  # bad

# ---- a backoff that there is not
RetryPolicy(backoff="quadratic")  # bad


# ---- a backoff that is async
async def slowly(attempt: int) -> float:
    return 2.0 * attempt


RetryPolicy(backoff=slowly)  # bad

# ---- errors are classes, not objects
RetryPolicy(on=(ValueError(), OSError()))  # bad

# ---- cancellation and the like are never tried again
RetryPolicy(on=KeyboardInterrupt)  # bad

# ---- what to do on a rejection, misspelt
RetryPolicy(on_rejected="sleep")  # bad

# ---- a name is no budget
RetryPolicy(budget="llm")  # bad

# ---- a policy cannot be changed
RetryPolicy().max_attempts = 4  # bad

# ---- a budget's settings are keywords
RetryBudget("llm", 0.2)  # bad

# ---- a timeout in words
Timeout("3s")  # bad


# ---- a timeout without async
async def sync_timeout() -> None:
    with timeout:  # bad
        ...


# ---- timeout.call with an argument missing
async def timeout_argument() -> None:
    await timeout.call(fetch, "x")  # bad


# ---- the result of timeout.call has the type of the function's
async def timeout_result() -> None:
    text: str = await timeout.call(fetch, "x", 3)  # bad
    print(text)


# ---- an adaptive timeout needs a maximum
Timeout(AdaptiveTimeout(minimum=0.5))  # bad

# ---- an operation's limit in words
Timeout(3.0, operations={"search": "5s"})  # bad
