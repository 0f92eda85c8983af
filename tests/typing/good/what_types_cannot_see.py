"""What no checker can refuse has an error of its own at run time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pytest
from attrs import define
from typing_extensions import override

from agentflow_trio import (
    END,
    AgentFlowError,
    DefinitionError,
    FlowFailedError,
    Next,
    Node,
    StateTypeError,
    Step,
    Wiring,
    WrongExitError,
    flow,
    merge,
    step,
)


@define
class Article:
    draft: str = ""


@define
class Order:
    number: int = 0


class HasDraft(Protocol):
    draft: str


@dataclass
class Card:
    """To both checkers a dataclass looks like an attrs class."""

    draft: str = ""


class Plain:
    """Not an attrs class, but it has the field that a step asks for."""

    draft: str = ""


class Review:
    async def prep(self, shared: Article) -> str:
        return shared.draft

    async def exec(self, draft: str) -> bool:
        return bool(draft)


class NoExitTaken(Review):
    async def post(
        self, shared: Article, draft: str, good: bool, *, approved: Next
    ) -> Next | None:
        return approved if good else None


class AnotherExit(Review):
    async def post(self, shared: Article, draft: str, good: bool, *, approved: Next) -> Next:
        return Next()


class Default(Review):
    async def post(
        self, shared: Article, draft: str, good: bool, *, approved: Next = END
    ) -> Next:
        return approved


class Inherits(Node[Article, str, bool, ...]):
    """Naming the exits ``...`` switches their check off."""

    @override
    async def prep(self, shared: Article, /) -> str:
        return shared.draft

    @override
    async def exec(self, prepared: str, /) -> bool:
        return bool(prepared)

    @override
    async def post(
        self, shared: Article, prepared: str, result: bool, /, *, approved: Next
    ) -> Next:
        return approved


@step
async def archive(article: Article) -> None: ...


@step
async def ship(order: Order) -> None: ...


@step
async def clear(item: HasDraft) -> None:
    item.draft = ""


@flow
def of_cards() -> Wiring[Card]:
    return [clear.then(END)]


async def runs_into(error: type[AgentFlowError], node: Step[Article, ...]) -> None:
    with pytest.RaisesGroup(error, check=lambda group: isinstance(group, FlowFailedError)):
        await node.run(Article())


def is_refused(code: str, define_it: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError) as refused:
        define_it()
    assert code in [problem.code for problem in refused.value.problems]


async def main() -> None:
    await runs_into(WrongExitError, Step(NoExitTaken()))
    await runs_into(WrongExitError, Step(AnotherExit()))
    is_refused("inherits_node", lambda: Step(Inherits()))

    @flow
    def right() -> Wiring[Article]:
        return [archive.then(END)]

    def target_of_another_state() -> Wiring[Article]:
        return [archive.then(ship)]

    def exit_with_a_default() -> Wiring[Article]:
        return [Step(Default()).to()]

    def two_lines() -> Wiring[Article]:
        return [archive.then(archive), archive.then(END)]

    is_refused("no_line", lambda: flow(target_of_another_state))
    is_refused("exit_default", lambda: flow(exit_with_a_default))
    is_refused("wired_twice", lambda: flow(two_lines))
    is_refused("unknown_step", lambda: right.replacing({ship: archive}))
    with pytest.raises(StateTypeError, match="must be an attrs class, not Plain"):
        await clear.run(Plain())
    with pytest.raises(StateTypeError, match="must be an attrs class, not Card"):
        await of_cards.run(Card())
    with pytest.raises(TypeError, match="holds a Order, not the Article"):
        merge(Article(), [("one", Order())])
    for name in ("name", "node", "policies"):
        with pytest.raises(AttributeError, match="is a value"):
            setattr(archive, name, None)
