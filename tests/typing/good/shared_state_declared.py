"""A subclass of SharedState declares its keys; a step for any blackboard fits its flows."""

from __future__ import annotations

from typing import assert_type

from agentflow_trio import (
    END,
    Flow,
    SharedState,
    StateKey,
    Wiring,
    added,
    flow,
    latest,
    step,
    summed,
)


def longest(base: str, theirs: str, mine: str) -> str:
    return max(base, theirs, mine, key=len)


class Board(SharedState):
    DRAFT = StateKey("draft", str, rule=longest)
    WORDS = StateKey("words", int, rule=summed)
    NOTES = StateKey("notes", tuple[str, ...], rule=added)
    LAST = StateKey("last", str, rule=latest)


@step
async def empty(shared: SharedState) -> None:
    shared.insert(Board.DRAFT, "")


@step
async def fill(board: Board) -> None:
    board.insert(board.DRAFT, "text")
    board.insert(Board.WORDS, len(board[Board.DRAFT]))


@flow
def filling() -> Wiring[Board]:
    return [empty.then(fill), fill.then(END)]


async def main() -> None:
    assert_type(filling, Flow[Board, []])
    assert_type(Board.NOTES, StateKey[tuple[str, ...]])
    result = await filling.run(Board())
    assert_type(result.state, Board)
    assert (result.state[Board.DRAFT], result.state[Board.WORDS]) == ("text", 4)
