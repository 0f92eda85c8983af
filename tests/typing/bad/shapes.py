"""Steps at once, and nodes whose exec handles items."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Iterator, Sequence

from attrs import define
from newsroom import Article, Order, Write, archive, editing, editorial, review, ship, write
from outcome import Maybe

from agentflow_trio import (
    END,
    Bulkhead,
    Count,
    Fallback,
    Next,
    Share,
    Step,
    Wiring,
    batch,
    each,
    flow,
    fold,
    parallel,
    race,
)


class Sections:
    async def prep(self, shared: Article) -> list[str]:
        return ["a", "b"]

    async def exec(self, title: str) -> int:
        return len(title)

    async def post(
        self, shared: Article, titles: Sequence[str], words: Sequence[int]
    ) -> None: ...


class Fetches:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.notes

    async def exec(self, url: str) -> bytes:
        return url.encode()

    async def post(
        self,
        shared: Article,
        urls: Sequence[str],
        pages: Sequence[Maybe[bytes]],
        *,
        some: Next,
        none: Next,
    ) -> Next:
        return some


class Lines:
    async def prep(self, shared: Article) -> AsyncIterator[str]:
        return lines()

    async def exec(self, line: str) -> int:
        return len(line)

    async def post(self, shared: Article, source: object, total: float) -> None: ...


async def lines() -> AsyncIterator[str]:
    yield "line"


class Embeds:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.notes

    async def exec(self, texts: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in texts]

    async def post(
        self, shared: Article, texts: Sequence[str], vectors: Sequence[float]
    ) -> None: ...


def plus(total: float, n: int) -> float:
    return total + n


def plus_some(total: float, n: Maybe[int]) -> float:
    return total


@define
class Shelf:
    articles: tuple[Article, ...] = ()


def split(shelf: Shelf) -> Sequence[Article]:
    return shelf.articles


def split_lazily(shelf: Shelf) -> Iterator[Article]:
    yield from shelf.articles


def split_orders(shelf: Shelf) -> Sequence[Order]:
    return ()


def join(shelf: Shelf, articles: Sequence[Article]) -> None: ...


def join_list(shelf: Shelf, articles: list[Article]) -> None: ...


def join_orders(shelf: Shelf, orders: Sequence[Order]) -> None: ...


def join_elsewhere(order: Order, articles: Sequence[Article]) -> None: ...


def words(total: int, article: Article) -> int:
    return total


# ---- parallel: a branch with exits
parallel(archive, review)  # bad

# ---- parallel: a flow with exits as a branch
parallel(archive, Step(editing))  # bad

# ---- parallel: a flow that is no step
parallel(archive, editorial)  # bad

# ---- parallel: a node that is no step
parallel(archive, Write())  # bad

# ---- parallel: branches in a list
parallel([archive, write])  # bad

# ---- parallel: branches of two states
torn = Step(parallel(archive, ship))  # bad: pyright


@flow
def of_both() -> Wiring[Article]:
    return [torn.then(END)]  # bad: mypy


# ---- parallel: its step has no exits
Step(parallel(archive, write)).to(done=END)  # bad

# ---- race: exits that differ, which mypy takes for any exits; the definition is refused
race(archive, review)  # bad: pyright

# ---- race: its exits are those of its branches
Step(race(review, review.with_(name="again"))).to(approved=END)  # bad


# ---- when: a function of another state
def is_urgent(order: Order) -> bool:
    return order.number > 7


archive.when(is_urgent)  # bad


# ---- when: an async function
async def is_long(article: Article) -> bool:
    return len(article.draft) > 800


archive.when(is_long)  # bad

# ---- when: a value
archive.when(True)  # bad

# ---- each: not said how many at once
each(Sections())  # bad

# ---- each: a post that does not know of tolerated failures
each(Sections(), concurrent=3, tolerate=Count(1))  # bad

# ---- each: a post that expects tolerated failures
each(Fetches(), concurrent=3)  # bad

# ---- each: a tolerance that is a number
each(Fetches(), concurrent=3, tolerate=0.1)  # bad

# ---- each: a post that expects a total
each(Lines(), concurrent=3)  # bad

# ---- each: a post that expects outputs, not a total
each(Sections(), concurrent=3, into=fold(float, plus))  # bad

# ---- each: a fold of something else than exec gives
each(Lines(), concurrent=3, into=fold(str, str.__add__))  # bad

# ---- each: a fold that does not know of tolerated failures
each(Lines(), concurrent=3, tolerate=Share(0.1), into=fold(float, plus))  # bad

# ---- each: a fold that is no fold
each(Lines(), concurrent=3, into=plus)  # bad

# ---- each: an exec that takes many
each(Embeds(), concurrent=3)  # bad

# ---- each: a misspelt keyword
each(Sections(), concurent=3)  # bad

# ---- each: a retry that is a number
each(Sections(), concurrent=3, retry=3)  # bad

# ---- each: a guard that is not in a sequence
each(Sections(), concurrent=3, guards=Bulkhead("items", limit=3))  # bad

# ---- each: a time limit of the whole
each(Sections(), concurrent=3, timeout=3.0)  # bad

# ---- each: a step instead of a node
each(write, concurrent=3)  # bad

# ---- each: a flow instead of a flow over items
each(editorial, concurrent=3)  # bad

# ---- each: a node for whole states
each(Write(), concurrent=3)  # bad

# ---- each: its exits are the step's
Step(each(Fetches(), concurrent=3, tolerate=Count(1))).to(some=END)  # bad

# ---- each: a fallback that is no list of outputs
Step(each(Sections(), concurrent=3), fallback=Fallback("x"))  # bad


# ---- each: a prep that yields
class Generator:
    async def prep(self, shared: Article) -> AsyncIterator[str]:
        yield "a"

    async def exec(self, line: str) -> int:
        return 1

    async def post(self, shared: Article, source: object, total: float) -> None: ...


each(Generator(), concurrent=3, into=fold(float, plus))  # bad


# ---- each: an exec that is not async
class Sync:
    async def prep(self, shared: Article) -> Sequence[str]:
        return shared.notes

    def exec(self, line: str) -> int:
        return 1

    async def post(self, shared: Article, lines: Sequence[str], got: Sequence[int]) -> None: ...


each(Sync(), concurrent=3)  # bad

# ---- fold: an order that is none
fold(int, operator.add, order="complete")  # bad

# ---- fold: a start that is no function
fold(0, plus)  # bad

# ---- batch: an exec that takes one
batch(Sections(), size=3)  # bad

# ---- batch: no size
batch(Embeds())  # bad

# ---- batch: a misspelt keyword
batch(Embeds(), size=3, concurent=2)  # bad

# ---- batch: a fold of whole parts
batch(Embeds(), size=3, into=fold(float, sum))  # bad


# ---- over: items of another state
editorial.over(split_orders, join)  # bad

# ---- over: a flow with exits
editing.over(split, join)  # bad

# ---- over: only one way
editorial.over(split)  # bad

# ---- over: a step instead of a flow
write.over(split, join)  # bad

# ---- over: joined into another state
torn_over = Step(each(editorial.over(split, join_elsewhere), concurrent=2))  # bad: pyright


@flow
def of_shelves() -> Wiring[Shelf]:
    return [torn_over.then(END)]  # bad


# ---- over: joined from other states
each(editorial.over(split, join_orders), concurrent=2)  # bad

# ---- over: joined from a list, which it is not
each(editorial.over(split, join_list), concurrent=2)  # bad

# ---- over: a join that does not know of tolerated failures
each(editorial.over(split, join), concurrent=2, tolerate=Count(1))  # bad

# ---- over: a join that expects states, not a total
each(editorial.over(split, join), concurrent=2, into=fold(int, words))  # bad

# ---- over: an iterator without a fold
each(editorial.over(split_lazily, join), concurrent=2)  # bad

# ---- over: not in each
Step(editorial.over(split, join))  # bad

# ---- over: in batches
batch(editorial.over(split, join), size=2)  # bad


# ---- over: the step is for the outer state
@flow
def of_articles() -> Wiring[Article]:
    return [Step(each(editorial.over(split, join), concurrent=2)).then(END)]  # bad
