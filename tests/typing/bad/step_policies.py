"""Policies of steps and items: their types, their names, and what is no guard."""

from __future__ import annotations

from collections.abc import Sequence

from newsroom import Article, Write

from agentflow_trio import (
    Bulkhead,
    CircuitBreaker,
    Fallback,
    Hedge,
    HedgePolicy,
    RateLimiter,
    ResourcePool,
    Retry,
    RetryPolicy,
    Step,
    batch,
    each,
    step,
)

breaker = CircuitBreaker("search")
limiter = RateLimiter("calls", limit=5, window=1.0)


# ---- a number is no policy
Step(Write(), retry=3)  # bad

# ---- a retry of one's own keeps a count; a step takes the policy
Step(Write(), retry=Retry(RetryPolicy()))  # bad

# ---- a class is no policy
Step(Write(), retry=RetryPolicy)  # bad

# ---- nor are seconds a hedge
Step(Write(), hedge=0.5)  # bad

# ---- a hedge learns, so a step takes the hedge
Step(Write(), hedge=HedgePolicy(after=0.5))  # bad

# ---- a hedge repeats, so it is no guard
Step(Write(), guards=[Hedge(after=0.5)])  # bad

# ---- one guard is no sequence of them
Step(Write(), guards=breaker)  # bad

# ---- a retry repeats, so it is no guard
Step(Write(), guards=[Retry()])  # bad

# ---- nor is a policy
Step(Write(), guards=[RetryPolicy()])  # bad

# ---- nor is a fallback
Step(Write(), guards=[Fallback("")])  # bad

# ---- nor is a class of guards
Step(Write(), guards=[CircuitBreaker])  # bad

# ---- nor is a name
Step(Write(), guards=["search"])  # bad


# ---- nor is a pool, whose objects nobody would get
def with_pool(pool: ResourcePool[str]) -> None:
    Step(Write(), guards=[pool])  # bad


# ---- seconds are a number
Step(Write(), attempt_timeout="5")  # bad

# ---- misspelt
Step(Write(), retries=RetryPolicy())  # bad


# ---- of a function too
@step(retry=5)  # bad
async def archive(article: Article) -> None: ...


# ---- and of a copy
def copied(write: Step[Article, []]) -> None:
    write.with_(guards=breaker)  # bad


class Sections:
    async def prep(self, shared: Article, /) -> Sequence[str]:
        return shared.topic.split()

    async def exec(self, item: str, /) -> int:
        return len(item)

    async def post(
        self, shared: Article, items: Sequence[str], received: Sequence[int], /
    ) -> None: ...


class Parts:
    async def prep(self, shared: Article, /) -> Sequence[str]:
        return shared.topic.split()

    async def exec(self, items: Sequence[str], /) -> Sequence[int]:
        return [len(item) for item in items]

    async def post(
        self, shared: Article, items: Sequence[str], received: Sequence[int], /
    ) -> None: ...


# ---- a policy for each item
each(Sections(), concurrent=3, retry=3)  # bad

# ---- guards for each item
each(Sections(), concurrent=3, guards=limiter)  # bad

# ---- seconds for each item
each(Sections(), concurrent=3, attempt_timeout="5")  # bad

# ---- an option of the whole
each(Sections(), concurrent=3, timeout=5.0)  # bad

# ---- and of parts
batch(Parts(), size=3, retry=Retry())  # bad

# ---- guards of parts
batch(Parts(), size=3, guards=[Bulkhead])  # bad

# ---- an option of the whole, for parts
batch(Parts(), size=3, max_visits=5)  # bad
