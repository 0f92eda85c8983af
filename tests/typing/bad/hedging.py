"""Hedges: their settings, their two forms, the functions they call."""
# ruff: noqa: ASYNC910 - some of what is wrong here, ruff sees too

from __future__ import annotations

from agentflow_trio import AdaptiveDelay, Hedge, HedgePolicy

hedge = Hedge(after=0.5)


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


# ---- hedge.call with an argument missing
async def argument_missing() -> None:
    await hedge.call(fetch, "x")  # bad


# ---- hedge.call with an argument of another type
async def argument_type() -> None:
    await hedge.call(fetch, "x", "3")  # bad


# ---- hedge.call with a coroutine instead of a function
async def coroutine() -> None:
    await hedge.call(fetch("x", 3))  # bad


# ---- hedge.call with a function that is not async
async def not_async() -> None:
    await hedge.call(len, "x")  # bad


# ---- the result of hedge.call has the type of the function's
async def result() -> None:
    text: str = await hedge.call(fetch, "x", 3)  # bad
    print(text)


# ---- a hedge runs its body several times, so it cannot be entered
async def entered() -> None:
    async with hedge:  # bad
        ...


# ---- what is given the number of the attempt takes a number
async def by_url(url: str) -> str:
    return url


async def number() -> None:
    await hedge.attempts(by_url)  # bad


# ---- a decorated function that is not async
@hedge  # bad
def sync_function() -> int:
    return 3


# ---- a decorated function keeps its parameters
@hedge
async def ask(question: str, *, model: str = "m") -> int:
    return len(question + model)


async def parameters() -> None:
    await ask("x", modle="y")  # bad


# ---- a decorated function keeps its result
async def decorated_result() -> None:
    text: str = await ask("x")  # bad
    print(text)


# ---- neither a policy nor a delay
Hedge()  # bad

# ---- both a policy and a delay
Hedge(HedgePolicy(after=1.0), after=1.0)  # bad

# ---- a delay goes by its name
Hedge(0.5)  # bad

# ---- settings belong to the policy
Hedge(after=0.5, max_attempts=3)  # bad

# ---- a policy needs a delay
HedgePolicy(max_attempts=3)  # bad

# ---- a delay in words
HedgePolicy(after="0.5 s")  # bad

# ---- an adaptive delay needs a maximum
AdaptiveDelay(minimum=0.5)  # bad

# ---- errors are classes, not objects
HedgePolicy(after=1.0, on=(ValueError(), OSError()))  # bad

# ---- a name is no budget
HedgePolicy(after=1.0, budget="llm")  # bad

# ---- a policy cannot be changed
HedgePolicy(after=1.0).max_attempts = 4  # bad
