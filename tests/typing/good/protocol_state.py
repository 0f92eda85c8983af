"""A node typed on the fields it touches fits every flow whose state has them (State is contravariant)."""

from __future__ import annotations

from typing import Protocol, assert_type

from attrs import define

from agentflow_trio import END, Step, Wiring, flow, step


class HasDraft(Protocol):
    draft: str


class HasTopic(Protocol):
    @property
    def topic(self) -> str: ...


class Draft(HasTopic, HasDraft, Protocol): ...


class Shout:
    async def prep(self, shared: HasDraft) -> str:
        return shared.draft

    async def exec(self, text: str) -> str:
        return text.upper()

    async def post(self, shared: HasDraft, text: str, loud: str) -> None:
        shared.draft = loud


@step
async def begin(draft: Draft) -> None:
    draft.draft = draft.topic


shout = Step(Shout())


@define
class Article:
    topic: str
    draft: str = ""


@define
class Letter:
    topic: str
    to: str
    draft: str = ""


@flow
def article() -> Wiring[Article]:
    return [begin.then(shout), shout.then(END)]


@flow
def letter() -> Wiring[Letter]:
    return [begin.then(shout), shout.then(END)]


async def main() -> None:
    assert_type(shout, Step[HasDraft, []])
    assert_type(begin, Step[Draft, []])
    assert (await article.run(Article("trio"))).state == Article("trio", "TRIO")
    assert (await letter.run(Letter("trio", "you"))).state == Letter("trio", "you", "TRIO")
    assert (await shout.run(Letter("trio", "you", "x"))).state.draft == "X"
