"""Flows within flows: another state, other nodes."""

from __future__ import annotations

from attrs import define
from newsroom import Article, Order, Review, Write, archive, editing, editorial, review, write

from agentflow_trio import END, Fallback, Flow, Step, Wiring, flow


@define
class Desk:
    article: Article
    log: tuple[str, ...] = ()


def take(desk: Desk) -> Article:
    return desk.article


def put(desk: Desk, article: Article) -> None:
    desk.article = article


def take_log(desk: Desk) -> tuple[str, ...]:
    return desk.log


def put_log(desk: Desk, log: tuple[str, ...]) -> None:
    desk.log = log


def put_order(desk: Desk, order: Order) -> None: ...


def put_elsewhere(order: Order, article: Article) -> None: ...


# ---- within: enter gives another state
editing.within(take_log, put)  # bad

# ---- within: leave takes another state
editing.within(take, put_order)  # bad

# ---- within: enter and leave are for two outer states
torn = Step(editing.within(take, put_elsewhere))  # bad: pyright


@flow
def of_desks() -> Wiring[Desk]:
    return [torn.to(published=END, abandoned=END)]  # bad: mypy


# ---- within: only one way
editing.within(take)  # bad

# ---- within: the two the wrong way round
editing.within(put, take)  # bad


# ---- within: the exits are still those of the flow
desk_step = Step(editing.within(take, put), name="desk")
desk_step.to(published=END)  # bad


# ---- within: the step is for the outer state
@flow
def desk_flow() -> Wiring[Article]:
    return [desk_step.to(published=END, abandoned=END)]  # bad


# ---- within: the run is of the outer state
async def desk_alone() -> None:
    await desk_step.run(Article("trio"))  # bad


# ---- a nested flow with the state of another
@flow
def of_orders() -> Wiring[Order]:
    return [Step(editing).to(published=END, abandoned=END)]  # bad


# ---- a flow placed without a step
@flow
def bare() -> Wiring[Article]:
    return [editing.to(published=END, abandoned=END)]  # bad


# ---- a flow for a target
write.then(editorial)  # bad

# ---- a step made of a step
Step(write)  # bad

# ---- a step made of a line
Step(write.then(END))  # bad

# ---- a flow that has exits where one without is asked for
without_exits: Flow[Article, []] = editing  # bad

# ---- replacing by name
editorial.replacing({"write": Write()})  # bad

# ---- replacing a node instead of a step
editorial.replacing({Write(): Write()})  # bad

# ---- replacing with a function
editorial.replacing({write: len})  # bad

# ---- replacing with a class
editorial.replacing({write: Write})  # bad

# ---- replacing with what is no node
editorial.replacing({write: "text"})  # bad

# ---- replacing without saying what
editorial.replacing()  # bad

# ---- replacing changes nothing in place
editing.replacing({review: Review()}).run(Order())  # bad


# ---- a flow after replacing has the same state
async def replaced() -> None:
    await editorial.replacing({archive: Write()}).run(Order())  # bad


# ---- a fallback of the wrong type on a flow
Step(editing, fallback=Fallback("text"))  # bad
