"""Policies of steps and items: any guard, one's own too; the exits and results keep their types."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import assert_type

from attrs import define

from agentflow_trio import (
    Bulkhead,
    CircuitBreaker,
    CircuitOpenError,
    ErrorKind,
    Fallback,
    Hedge,
    ItemPolicies,
    KeyedRateLimiter,
    Next,
    RateLimiter,
    RecoveryRule,
    RetryPolicy,
    Step,
    Timeout,
    Wiring,
    batch,
    classify,
    current_step,
    each,
    flow,
    of_kind,
    step,
)
from agentflow_trio.robustness import Guard


@define
class Article:
    topic: str = ""
    draft: str = ""


class Write:
    async def prep(self, shared: Article, /) -> str:
        return shared.topic

    async def exec(self, topic: str, /) -> str:
        return f"on {topic}"

    async def post(self, shared: Article, topic: str, text: str, /) -> None:
        shared.draft = text


class Review:
    async def prep(self, shared: Article, /) -> str:
        return shared.draft

    async def exec(self, draft: str, /) -> bool:
        return len(draft) > 800

    async def post(
        self, shared: Article, draft: str, good: bool, /, *, approved: Next, rejected: Next
    ) -> Next:
        return approved if good else rejected


breaker = CircuitBreaker("search")
limiter = RateLimiter("calls", limit=5, window=1.0)
keyed: KeyedRateLimiter[str] = KeyedRateLimiter("users", limit=5, window=1.0)


class Watching:
    """A guard of one's own."""

    @property
    def name(self) -> str:
        return "watching"

    async def __aenter__(self) -> None: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


guards: tuple[Guard, ...] = (
    breaker,
    limiter,
    limiter.weighing(3),
    keyed.of("ann"),
    Bulkhead("model", limit=3),
    Timeout(3.0),
    Watching(),
)

hedge = Hedge(after=0.5, name="models")
policy = RetryPolicy(on=of_kind("transient", "timeout"), on_rejected="wait")

write = Step(
    Write(),
    retry=policy,
    hedge=hedge,
    guards=guards,
    attempt_timeout=5.0,
    timeout=30.0,
    fallback=Fallback(""),
)
review = Step(Review(), guards=[breaker, limiter])
bare = write.with_(name="bare", retry=None, hedge=None, guards=(), attempt_timeout=None)


@step(retry=policy, hedge=hedge, guards=(breaker,), attempt_timeout=3.0)
async def archive(article: Article, *, kept: Next, lost: Next) -> Next:
    assert_type(current_step().attempt, int)
    return kept if article.topic else lost


@flow
def editing(*, published: Next, abandoned: Next) -> Wiring[Article]:
    return [
        write.then(review).catch(CircuitOpenError, to=abandoned),
        review.to(approved=archive, rejected=bare),
        bare.then(published),
        archive.to(kept=published, lost=abandoned),
    ]


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


careful: ItemPolicies = {"retry": policy, "hedge": hedge, "guards": (breaker,)}

sections = Step(
    each(Sections(), concurrent=8, retry=RetryPolicy(), guards=[breaker]),
    timeout=60.0,
    retry=policy,
    fallback=Fallback([1, 2]),
)
parts = Step(
    batch(Parts(), size=3, concurrent=2, hedge=hedge, attempt_timeout=5.0), name="parts"
)
same = Step(each(Sections(), concurrent=8, **careful), name="same")


def told(error: Exception) -> ErrorKind:
    kind = classify(
        error, RecoveryRule(LookupError, "invalid"), RecoveryRule(OSError, "transient")
    )
    return assert_type(kind, ErrorKind)


async def main() -> None:
    result = await editing.run(Article("trio"))
    assert_type(result.state, Article)
    assert (result.exit, result.state.draft) == ("published", "on trio")
    for one in (sections, parts, same):
        await one.run(Article("a b c"))
    assert told(KeyError()) == "invalid"
