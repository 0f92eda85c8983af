"""Hedged steps against a reading of the rules: no tasks, only a list of who begins when and who ends when."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import attrs
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from agentflow_trio import (
    DeadlineExceededError,
    Flow,
    FlowFailedError,
    Hedge,
    HedgePolicy,
    RetryPolicy,
    RunResult,
    Step,
    current_step,
    each,
    step,
)
from agentflow_trio.testing import assert_no_leaks

from .engine_kit import Notes, chain

Kind: TypeAlias = Literal["function", "class", "flow", "item"]
How: TypeAlias = Literal["well", "handled", "unhandled"]


@attrs.frozen
class Move:
    """What an attempt does: it ends after so long, in that way."""

    length: float
    how: How


@attrs.frozen
class Hedged:
    """A step: what its attempts do (the last of them all that follow), and its policies."""

    kind: Kind
    moves: tuple[Move, ...]
    after: float
    attempts: int
    rounds: int
    timeout: float | None

    def move(self, number: int) -> Move:
        return self.moves[min(number, len(self.moves)) - 1]


PAUSE = 0.75
"""Seconds between the rounds of a retry."""

# every length has a last bit of its own, so that nothing but the same attempt twice ends together with something else
LENGTHS = st.builds(
    lambda whole, part: whole + part / 64, st.integers(0, 5), st.integers(1, 31)
)


@st.composite
def hedged_steps(draw: st.DrawFn) -> Hedged:
    hows = st.sampled_from(["well", "well", "handled", "handled", "unhandled"])
    moves = draw(st.lists(st.builds(Move, LENGTHS, hows), min_size=1, max_size=5))
    return Hedged(
        kind=draw(st.sampled_from(["function", "class", "flow", "item"])),
        moves=tuple(moves),
        after=draw(st.sampled_from([0.0, 1.0, 2.0])),
        attempts=draw(st.integers(1, 3)),
        rounds=draw(st.integers(1, 2)),
        timeout=draw(st.sampled_from([None, None, 3.0 + 1 / 128, 8.0 + 1 / 128])),
    )


# ---------------------------------------------------------------- the rules, read naively


@attrs.define
class Reading:
    """What is to be seen of a step: when attempts begin, what is raised or kept, and when."""

    begun: list[tuple[float, int]] = attrs.field(factory=list[tuple[float, int]])
    swallowed: list[str] = attrs.field(factory=list[str])
    outcome: str = ""
    ended: float = 0.0

    def swallow(self, numbers: Sequence[int]) -> None:
        self.swallowed += [f"failed {number}" for number in numbers]


def read(one: Hedged) -> Reading:
    reading, now, outcome = Reading(), 0.0, ""
    deadline = math.inf if one.timeout is None else one.timeout
    for turn in range(1, one.rounds + 1):
        outcome, now = _round(one, reading, now, deadline)
        last = turn == one.rounds or now + PAUSE >= deadline
        if last or not outcome.startswith("raised"):
            break
        now += PAUSE
    reading.outcome, reading.ended = outcome, now
    return reading


def _round(one: Hedged, reading: Reading, now: float, deadline: float) -> tuple[str, float]:
    """Let attempts begin and end; return what comes of it, and when."""
    going = dict[int, float]()
    failed = list[int]()

    def begin() -> float:
        """Begin the next; return when the one after it is due."""
        number = len(reading.begun) + 1
        reading.begun.append((now, number))
        going[number] = now + one.move(number).length
        full = len(going) + len(failed) == one.attempts
        return math.inf if full else now + one.after

    due = begin()
    while True:
        ends = min(going.values())
        if min(due, ends) >= deadline:
            reading.swallow(failed)
            return "out of time", deadline
        if due < ends:
            now = due
            due = begin()
            continue
        now = ends
        ended = [number for number, end in going.items() if end == now]
        deciding = _deciding(one, ended)
        if deciding is not None:
            all_ended = (*failed, *ended)
            others = [n for n in all_ended if n != deciding and one.move(n).how != "well"]
            reading.swallow(others)
            how = "kept" if one.move(deciding).how == "well" else "raised"
            return f"{how} {deciding}", now
        for number in ended:
            del going[number]
            failed.append(number)
        for _ in ended:
            due = begin() if due < math.inf else due
        if not going:
            reading.swallow(failed[:-1])
            return f"raised {failed[-1]}", now


def _deciding(one: Hedged, ended: Sequence[int]) -> int | None:
    """Which of those that end together decides it: one that ends well, else one whose error is not handled."""
    for how in ("well", "unhandled"):
        for number in ended:
            if one.move(number).how == how:
                return number
    return None


# ---------------------------------------------------------------- the same for real


class HandledError(Exception): ...


class UnhandledError(Exception): ...


@attrs.define
class Seen:
    begun: list[tuple[float, int]] = attrs.field(factory=list[tuple[float, int]])
    going: int = 0


async def played(one: Hedged, seen: Seen, number: int) -> int:
    seen.begun.append((trio.current_time(), number))
    seen.going += 1
    try:
        move = one.move(number)
        await trio.sleep(move.length)
        if move.how != "well":
            kind = HandledError if move.how == "handled" else UnhandledError
            raise kind(f"failed {number}")
        return number
    finally:
        seen.going -= 1


def made(one: Hedged, seen: Seen) -> Flow[Notes, []]:
    policy = HedgePolicy(after=one.after, max_attempts=one.attempts, on=HandledError)
    retry = RetryPolicy(max_attempts=one.rounds, base_delay=PAUSE, jitter_kind="none")
    tried: dict[str, Any] = {"hedge": Hedge(policy), "retry": retry}
    whole: dict[str, Any] = {"timeout": one.timeout}

    async def play(notes: Notes) -> None:
        path = current_step().path.split("/")
        entry = int(path[1].partition("@")[2] or 1)
        number = entry if one.kind == "flow" else current_step().attempt
        notes.log.append(f"begun {number}")
        notes.log.append(f"kept {await played(one, seen, number)}")

    class Node:
        async def prep(self, shared: Notes, /) -> Sequence[int]:
            return [7]

        async def exec(self, item: object, /) -> int:
            return await played(one, seen, current_step().attempt)

        async def post(self, shared: Notes, items: object, result: Any, /) -> None:
            number = result[0] if one.kind == "item" else result
            shared.log += [f"begun {number}", f"kept {number}"]

    steps: dict[Kind, Step[Notes, []]] = {
        "function": step(name="s", **tried, **whole)(play),
        "class": Step(Node(), name="s", **tried, **whole),
        "flow": Step(chain("inner", step(play)), name="s", **tried, **whole),
        "item": Step(each(Node(), concurrent=1, **tried), name="s", **whole),
    }
    return chain("f", steps[one.kind])


def outcome_of(ended: RunResult[Notes] | FlowFailedError[Any]) -> str:
    if isinstance(ended, RunResult):
        begun, kept = ended.state.log
        assert begun == kept.replace("kept", "begun")
        return kept
    error = ended.only()
    return (
        "out of time"
        if isinstance(error, DeadlineExceededError)
        else str(error).replace("failed", "raised")
    )


def leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, FlowFailedError):
        yield from error.leaves()
    else:
        yield error


@given(one=hedged_steps())
def test_a_hedged_step_does_what_the_rules_say(one: Hedged) -> None:
    seen, reading = Seen(), read(one)

    async def main() -> None:
        begun = trio.current_time()
        ended: RunResult[Notes] | FlowFailedError[Any]
        with assert_no_leaks():
            try:
                ended = await made(one, seen).run(Notes())
            except FlowFailedError as error:
                ended = error
        assert (outcome_of(ended), trio.current_time() - begun) == (
            reading.outcome,
            reading.ended,
        )
        swallowed = [str(leaf) for error in ended.suppressed for leaf in leaves(error)]
        assert sorted(swallowed) == sorted(reading.swallowed)
        assert sorted(seen.begun) == reading.begun
        assert seen.going == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))
