"""Any attrs class is a state: frozen values inside, inherited, generic, with slots or without."""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar, assert_type

import attrs
from attrs import define, field, frozen

from agentflow_trio import END, Flow, Wiring, flow, step

Item = TypeVar("Item")


class Phase(Enum):
    NEW = "new"
    DONE = "done"


@frozen
class Author:
    name: str


@define
class Base:
    phase: Phase = Phase.NEW


@define(slots=False, kw_only=True)
class Article(Base):
    authors: tuple[Author, ...] = ()
    scores: dict[str, float] = field(factory=dict[str, float])


@attrs.define
class Box(Generic[Item]):
    item: Item
    opened: bool = False


@step
async def finish(base: Base) -> None:
    base.phase = Phase.DONE


@step
async def sign(article: Article) -> None:
    article.authors += (Author("me"),)
    article.scores["me"] = 1.0


@step
async def unpack(box: Box[int]) -> None:
    box.item += 1
    box.opened = True


@flow
def signing() -> Wiring[Article]:
    return [sign.then(finish), finish.then(END)]


@flow
def unpacking() -> Wiring[Box[int]]:
    return [unpack.then(END)]


async def main() -> None:
    assert_type(unpacking, Flow[Box[int], []])
    signed = await signing.run(Article())
    assert signed.state.phase is Phase.DONE
    assert signed.state.authors == (Author("me"),)
    assert signed.state.scores == {"me": 1.0}
    assert (await unpacking.run(Box(3))).state == Box(4, opened=True)
