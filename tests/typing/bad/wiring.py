"""Wiring: a flow is a list of lines over one state, which is an attrs class."""
# ruff: noqa: F821 - some of what is wrong here, ruff sees too

from __future__ import annotations

from typing import Protocol

from attrs import define
from newsroom import Article, Order, Write, archive, editing, editorial, review, ship, write

from agentflow_trio import END, Next, Step, Wiring, flow, step


# ---- lines for two states
@flow
def mixed() -> Wiring[Article]:
    return [write.then(archive), archive.then(END), ship.then(END)]  # bad


# ---- a state that is a dict
@flow  # bad
def of_a_dict() -> Wiring[dict[str, object]]:
    return []


# ---- a state that is a plain class
class Plain:
    topic = ""


@step
async def plainly(plain: Plain) -> None:
    plain.topic = "trio"


@flow  # bad
def of_a_plain_class() -> Wiring[Plain]:
    return [plainly.then(END)]


# ---- a state that is a built-in
@flow  # bad
def of_text() -> Wiring[str]:
    return []


# ---- the lines are not returned
@flow
def forgot() -> Wiring[Article]:  # bad
    [write.then(END)]  # bad: pyright


# ---- a single line, not in a list
@flow
def one_line() -> Wiring[Article]:
    return write.then(END)  # bad


# ---- steps instead of lines
@flow
def unwired() -> Wiring[Article]:
    return [write, archive]  # bad


# ---- nodes instead of lines
@flow
def nodes_only() -> Wiring[Article]:
    return [Write()]  # bad


# ---- lines yielded
@flow
def yielding() -> Wiring[Article]:  # bad
    yield write.then(END)  # bad: pyright


# ---- an async wiring function
@flow  # bad
async def later() -> Wiring[Article]:
    return [write.then(END)]


# ---- a wiring function that says nothing of its state
@flow  # bad
def unsaid() -> list[str]:
    return []


# ---- an option of a flow, misspelt
@flow(nmae="editorial")  # bad
def misnamed() -> Wiring[Article]:
    return [write.then(END)]


# ---- a flow's name that is no text
@flow(name=3)  # bad
def numbered() -> Wiring[Article]:
    return [write.then(END)]


# ---- a flow that says another state than its lines have
@flow(state=Order)  # bad
def disagreeing() -> Wiring[Article]:
    return [write.then(END)]


# ---- an exit that the flow does not name
@flow
def unnamed(*, published: Next) -> Wiring[Article]:
    return [write.then(archive), archive.then(abandoned)]  # bad


# ---- a step inside the list of another state's flow, through a nested flow
@flow
def nested_wrongly() -> Wiring[Order]:
    return [Step(editorial).then(END)]  # bad


# ---- a node typed on a field that the state has not
class HasPrice(Protocol):
    price: int


@step
async def price(item: HasPrice) -> None:
    item.price = 3


@flow
def without_price() -> Wiring[Article]:
    return [price.then(END)]  # bad


# ---- a node typed on a field that the state has with another type
class HasNumber(Protocol):
    number: str


@step
async def renumber(item: HasNumber) -> None:
    item.number = "3"


@flow
def with_another_number() -> Wiring[Order]:
    return [renumber.then(END)]  # bad


# ---- a step for a special state in a flow of the general one
@define
class Special(Article):
    rank: int = 0


@step
async def promote(special: Special) -> None:
    special.rank += 1


@flow
def too_general() -> Wiring[Article]:
    return [promote.then(END)]  # bad


# ---- catch without a target
write.then(review).catch(ValueError)  # bad

# ---- catch without an error
write.then(review).catch(to=END)  # bad

# ---- catch of an error object
write.then(review).catch(ValueError("no"), to=END)  # bad

# ---- catch of a name
write.then(review).catch("ValueError", to=END)  # bad

# ---- catch of what is never caught
write.then(review).catch(BaseException, to=END)  # bad

# ---- catch of a tuple
write.then(review).catch((ValueError, KeyError), to=END)  # bad

# ---- catch that leads to a name
write.then(review).catch(ValueError, to="archive")  # bad

# ---- catch of a step, before its line is written
write.catch(ValueError, to=END)  # bad

# ---- catch with the target as one more error
write.then(review).catch(ValueError, END)  # bad

# ---- a second line's worth on one line
write.then(review).then(END)  # bad

# ---- an attribute that a flow has not
print(editorial.edge)  # bad

# ---- a flow called like a function
editing()  # bad

# ---- what a flow is made of does not change
editorial.edges += (write.then(END),)  # bad

# ---- a step is a value
write.nmae = "rewrite"  # bad
