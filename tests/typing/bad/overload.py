"""Adaptive limits and load shedders used wrongly."""
# ruff: noqa: ASYNC910 - some of what is wrong here, ruff sees too

from __future__ import annotations

from agentflow_trio import (
    AdaptiveLimit,
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    LoadShedder,
    RateLimiter,
    load_of,
)

limit = AdaptiveLimit("model")


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


def load() -> float:
    return 0.5


# ---- an adaptive limit with a number instead of a policy
AdaptiveLimit("model", 20)  # bad

# ---- an adaptive limit with a setting of its policy
AdaptiveLimit("model", initial=20)  # bad

# ---- an adaptive limit with a policy of something else
AdaptiveLimit("model", BulkheadPolicy(limit=20))  # bad

# ---- a setting, misspelt
AdaptiveLimitPolicy(intial=20)  # bad

# ---- a setting without its keyword
AdaptiveLimitPolicy(20)  # bad

# ---- any number of waiters
AdaptiveLimitPolicy(max_waiters=None)  # bad


# ---- a rule that says no yes or no
def status(reply: object) -> str:
    return str(reply)


AdaptiveLimitPolicy(failed_result=status)  # bad


# ---- a policy, changed
def changed() -> None:
    limit.policy.initial = 3  # bad


# ---- an adaptive limit entered without async
def entered_sync() -> None:
    with limit:  # bad
        ...


# ---- one not to be waited for, with async
async def nowait_async() -> None:
    async with limit.enter_nowait():  # bad
        ...


# ---- limit.call with an argument missing
async def argument_missing() -> None:
    await limit.call(fetch, "x")  # bad


# ---- the result of limit.call has the type of the function's
async def result() -> str:
    return await limit.call(fetch, "x", 3)  # bad


# ---- a permit without a result to record
async def recorded() -> None:
    async with limit as permit:
        permit.record()  # bad


# ---- a limit that is not made by hand
limit.resize(3)  # bad

# ---- a load shedder without a threshold
LoadShedder("door", load)  # bad

# ---- a threshold without its keyword
LoadShedder("door", load, 0.8)  # bad

# ---- a threshold as text
LoadShedder("door", load, threshold="0.8")  # bad

# ---- a number instead of a function that tells it
LoadShedder("door", load(), threshold=0.8)  # bad


# ---- a load that is text
def words() -> str:
    return "high"


LoadShedder("door", words, threshold=0.8)  # bad


# ---- a load that has to be awaited
async def measure() -> float:
    return 0.5


LoadShedder("door", measure, threshold=0.8)  # bad

# ---- the load of a guard that has no places
load_of(RateLimiter("calls", limit=3, window=1.0))  # bad
