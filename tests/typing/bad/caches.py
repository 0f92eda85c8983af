"""Caches: what loads, keys, values and settings."""
# ruff: noqa: ASYNC910 - some of what is wrong here, ruff sees too

from __future__ import annotations

from agentflow_trio import BulkheadPolicy, CachePolicy, SingleFlight, TTLCache


async def weather(town: str) -> float:
    return float(len(town))


def guess(town: str) -> float:
    return float(len(town))


async def by_two(country: str, town: str) -> float:
    return float(len(country + town))


async def unhashable(towns: list[str]) -> float:
    return float(len(towns))


kept = TTLCache(weather, ttl=60.0)


# ---- a function that is not async does not load
SingleFlight(guess)  # bad

# ---- a function of two arguments does not load
TTLCache(by_two, ttl=60.0)  # bad

# ---- a key must be hashable
TTLCache(unhashable, ttl=60.0)  # bad


# ---- a key of another type
async def other_key() -> None:
    await kept.get(7)  # bad


# ---- the value has the type that is loaded
async def other_value() -> None:
    text: str = await kept.get("Oslo")  # bad
    print(text)


# ---- what is kept may not be there
def not_there() -> float:
    return kept.peek("Oslo")  # bad


# ---- only values of that type are put
kept.put("Oslo", "cold")  # bad

# ---- neither ttl nor a policy
TTLCache(weather)  # bad

# ---- both
TTLCache(weather, CachePolicy(ttl=60.0), ttl=60.0)  # bad

# ---- a policy of something else
TTLCache(weather, BulkheadPolicy(limit=3))  # bad

# ---- a policy without ttl
CachePolicy(max_size=3)  # bad

# ---- a policy by position
CachePolicy(60.0)  # bad


# ---- ttl_of returns a number of seconds
def never(_: str, __: float) -> None:
    return None


TTLCache(weather, ttl=60.0, ttl_of=never)  # bad


# ---- a cache is no guard: it cannot be entered
async def entered() -> None:
    async with kept:  # bad
        ...
