"""Timelines and faults: what is recorded, what is asked of it, what goes wrong."""

from __future__ import annotations

from attrs import define

from agentflow_trio import END, CircuitBreaker, Wiring, flow, step
from agentflow_trio.testing import Delay, Faults, always, chance, record


@define
class Article:
    draft: str = ""


@define
class Order:
    number: int = 0


breaker = CircuitBreaker("llm")


@step
async def write(article: Article) -> None:
    article.draft = "text"


@flow
def writing() -> Wiring[Article]:
    return [write.then(END)]


async def program() -> int:
    return 3


# ---- a flow without its state
record(writing)  # bad

# ---- a flow with another state
record(writing, Order())  # bad

# ---- a program with a state
record(program, Article())  # bad

# ---- a function that is not async
record(len)  # bad

# ---- a field that the state has not got
drafts = record(writing, Article()).at(3.0).state.drafts  # bad

# ---- the state of a program
draft = record(program).at(3.0).state.draft  # bad

# ---- statistics of something that has none
record(program).at(3.0).of("llm")  # bad

# ---- statistics of another kind
free = record(program).at(3.0).of(breaker).free  # bad

# ---- a value that is watched and used as another
number: int = record(program).watch("time", lambda now: "x").at(3.0)  # bad

# ---- timelines of different states compared
record(writing, Article()).diff(record(program))  # bad

# ---- an effect as a fault
Faults(write=Delay(3.0))  # bad

# ---- a chance without what goes wrong
chance(0.5)  # bad

# ---- text instead of an error
always("slow")  # bad
