"""The limits: plain Trio code that does the same work as each workload, with no framework at all.

Every function here builds a workload and returns its body; the body does the whole of it once and returns
how many units it did, so that nobody wins by doing less. What is common to all of them:

* the state is the same attrs class as on the other sides, and each unit counts up one field of it;
* a unit is one coroutine function, awaited directly: a person writing this by hand would not cut it into
  prep, exec and post, so the framework pays for its three phases itself (`by_hand_quiet` shows how much);
* "waits" means one ``trio.lowlevel.checkpoint()``: the scheduler pass that any real node pays at least.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import trio
from attrs import define, field, frozen

from agentflow_trio import merged_by, summed

__all__ = [
    "Body",
    "ByHand",
    "Card",
    "Gate",
    "Staged",
    "Sum",
    "Tally",
    "batches",
    "branches",
    "branches_cut_off",
    "by_hand_quiet",
    "chain",
    "cut_off",
    "fleet",
    "items",
    "loop",
    "loop_quiet",
    "nested",
    "parked",
    "stream",
    "streamed",
    "work",
]

Body: TypeAlias = Callable[[], Awaitable[int]]
"""Does a workload once and returns how many units it did."""


@frozen
class Staged:
    """A body that is set up before it is timed, and taken down afterwards.

    Attributes:
        stage: sets up; it gives what is timed.
    """

    stage: Callable[[], AbstractAsyncContextManager[Body]]

    async def __call__(self) -> int:
        """All of it at once."""
        async with self.stage() as body:
            return await body()


@define
class Tally:
    """The state of most workloads.

    Attributes:
        done: units done so far.
        until: where a loop ends.
    """

    done: int = 0
    until: int = 0


@define
class Card:
    """The state of four fields that nested flows fork at every level."""

    done: int = 0
    title: str = "a card"
    tags: tuple[str, ...] = ("one", "two")
    score: float = 0.5


async def work(tally: Tally) -> None:
    """One unit that waits once."""
    tally.done += 1
    await trio.lowlevel.checkpoint()


def chain(nodes: int) -> Body:
    """A chain of nodes, each of which waits once.

    Ours: a flow of so many distinct steps, each a class node of three short methods, each wired to the next.
    Limit: a list of coroutine functions, awaited one after the other on one state.
    Fair: both go through a list of units known only at run time and pay one scheduler pass in each. The limit
    can neither branch, nor be observed, nor say where it was.
    """
    units = [work] * nodes

    async def body() -> int:
        tally = Tally()
        for unit in units:
            await unit(tally)
        return tally.done

    return body


class ByHand:
    """A node of three short methods that never waits, as the framework would be given it."""

    async def prep(self, shared: Tally, /) -> int:
        return shared.done

    async def exec(self, prepared: int, /) -> int:
        return prepared + 1

    async def post(self, shared: Tally, _prepared: int, result: int, /) -> None:
        shared.done = result


def by_hand_quiet(nodes: int) -> Body:
    """A chain of nodes that never wait: the framework alone.

    Ours: the flow of the chain workload with nodes that have nothing to wait for. A full checkpoint is still
    made at every 16th boundary, and every boundary is a cancellation point.
    Limit: prep, exec and post of the same nodes, awaited by hand in a loop.
    Fair: the same three coroutines per node on both sides. The limit has no cancellation point at all. The
    gate is absolute, in microseconds per node, phases included; the ratio is for machines of another speed.
    """
    units = [ByHand() for _ in range(nodes)]

    async def body() -> int:
        tally = Tally()
        for node in units:
            prepared = await node.prep(tally)
            result = await node.exec(prepared)
            await node.post(tally, prepared, result)
        return tally.done

    return body


async def turn(tally: Tally) -> bool:
    """One turn of a loop that waits once; whether to go on."""
    tally.done += 1
    await trio.lowlevel.checkpoint()
    return tally.done < tally.until


async def turn_quiet(tally: Tally) -> bool:
    """One turn of a loop that never waits; whether to go on."""
    tally.done += 1
    return tally.done < tally.until


def loop(steps: int) -> Body:
    """A loop of routed steps, each of which waits once.

    Ours: one class node whose post returns one of two exits, `again` wired to itself and `done` to the end.
    Limit: ``while await turn(state): pass``.
    Fair: both ask the state after every turn whether to go on; one pays a route, the other a branch.
    """

    async def body() -> int:
        tally = Tally(until=steps)
        while await turn(tally):
            pass
        return tally.done

    return body


def loop_quiet(steps: int) -> Body:
    """The same loop, never waiting: used to look at memory over a million steps."""

    async def body() -> int:
        tally = Tally(until=steps)
        while await turn_quiet(tally):
            pass
        return tally.done

    return body


async def card_work(card: Card) -> None:
    """One unit of a level that waits once."""
    card.done += 1
    await trio.lowlevel.checkpoint()


async def level(card: Card, below: int) -> None:
    """One level: its own unit, then the levels below."""
    await card_work(card)
    if below:
        await level(card, below - 1)


def nested(depth: int, times: int) -> Body:
    """Flows nested in flows; the unit is one level. Each level has one node that waits once, then the next level.

    Ours: a flow per level with two steps, a class node and the next flow. Each level works on a fork of a
    state of four fields, adopted when the level ends well.
    Limit: a coroutine function that awaits its node and then itself, one level deeper. All levels share one
    state: a hand-written level has no fork, so ours pays for it on top.
    Fair: the same nodes, the same scheduler passes. The limit resumes through a stack of coroutines as deep
    as the nesting (that is what nesting by hand costs). Done several times over, to have something to time.
    """

    async def body() -> int:
        done = 0
        for _ in range(times):
            card = Card()
            await level(card, depth - 1)
            done += card.done
        return done

    return body


async def small_flow(tally: Tally, nodes: int) -> None:
    """One member of a fleet."""
    for _ in range(nodes):
        await work(tally)


def fleet(flows: int, nodes: int) -> Body:
    """Many flows at once, each a short chain of nodes that wait once; the unit is one node.

    Ours: a task per flow in one nursery, each awaiting ``flow.run(state)`` and taking its result; one flow.
    Limit: a task per flow in one nursery, each awaiting its nodes in a loop and taking their result.
    Fair: the same number of tasks and of scheduler passes, and the bill of the nursery on both sides. What
    ours adds besides the steps is `run()` itself, spread over few of them.
    """

    async def body() -> int:
        done = 0

        async def member() -> None:
            nonlocal done
            tally = Tally()
            await small_flow(tally, nodes)
            done += tally.done

        async with trio.open_nursery() as nursery:
            for _ in range(flows):
                nursery.start_soon(member)
        return done

    return body


@define(eq=False)
class Gate:
    """Where a fleet waits until somebody has looked at it.

    Attributes:
        expected: how many have to come.
        waiting: how many have come.
        full: set when all have.
        lift: lets them go.
    """

    expected: int
    waiting: int = 0
    full: trio.Event = field(factory=trio.Event)
    lift: trio.Event = field(factory=trio.Event)

    async def wait(self) -> None:
        self.waiting += 1
        if self.waiting == self.expected:
            self.full.set()
        await self.lift.wait()


async def small_flow_parked(tally: Tally, before: int, after: int, gate: Gate) -> None:
    """A member of a fleet that waits at the gate between its nodes."""
    for _ in range(before):
        await work(tally)
    tally.done += 1
    await gate.wait()
    for _ in range(after):
        await work(tally)


def parked(flows: int, nodes: int, gate: Gate) -> Body:
    """A fleet whose members all wait in the middle: what one of them weighs.

    Ours: flows of so many steps in one nursery, all waiting inside `exec` of their middle node.
    Limit: as many tasks, waiting at the same point of a hand-written chain.
    Fair: the same states (made before the measurement begins), the same tasks, the same event waited for.
    """
    tallies = [Tally() for _ in range(flows)]
    before = nodes // 2

    async def body() -> int:
        async with trio.open_nursery() as nursery:
            for tally in tallies:
                nursery.start_soon(small_flow_parked, tally, before, nodes - before - 1, gate)
        return sum(tally.done for tally in tallies)

    return body


# ---------------------------------------------------------------- all at once


@define
class Sum:
    """The state of branches that all write one field.

    Attributes:
        total: the field.
    """

    total: int = field(default=0, metadata=merged_by(summed))


def branches(many: int) -> Body:
    """Branches at once, each of which waits once and counts one up; then all is summed.

    Ours: one parallel step of so many function steps, each on a fork of the state; the forks are merged by a rule.
    Limit: a nursery and a task for each, which counts in a state of its own; the counts are summed afterwards.
    Fair: a task and a scheduler pass for each on both sides, and nobody writes what another one reads.
    """

    async def branch(sums: Sum) -> None:
        sums.total += 1
        await trio.lowlevel.checkpoint()

    async def body() -> int:
        sums = [Sum() for _ in range(many)]
        async with trio.open_nursery() as nursery:
            for one in sums:
                nursery.start_soon(branch, one)
        return sum(one.total for one in sums)

    return body


@asynccontextmanager
async def cut_off(start: Callable[[Gate], Awaitable[object]], many: int) -> AsyncIterator[Body]:
    """Start what lets *many* wait at a gate; the body cancels it, and waits until all of it has ended."""
    gate, over = Gate(many), trio.Event()
    scope = trio.CancelScope()

    async def watched() -> None:
        with scope:
            await start(gate)
        over.set()

    async def body() -> int:
        scope.cancel()
        await over.wait()
        return many

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched)
        await gate.full.wait()
        yield body


def branches_cut_off(many: int) -> Body:
    """Branches that all wait are cancelled from outside; per branch, until every one of them has ended.

    Ours: one parallel step of so many function steps, run in a scope that is cancelled.
    Limit: a nursery and a task for each, in such a scope.
    Fair: the same tasks wait at the same gate. Ours remembers of each branch where it was cut off.
    """

    async def start(gate: Gate) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(many):
                nursery.start_soon(gate.wait)

    return Staged(lambda: cut_off(start, many))


def batches(many: int, size: int, at_once: int) -> Body:
    """Items in parts, several parts at once, every part waits once.

    Ours: `batch` over a list; the outputs come back in order.
    Limit: workers that take slices of the same list from one iterator, and write the outputs in place.
    Fair: as many workers, parts and scheduler passes on both sides.
    """
    items = list(range(many))

    async def work(part: list[int]) -> list[int]:
        await trio.lowlevel.checkpoint()
        return [item + 1 for item in part]

    async def body() -> int:
        outputs = [0] * many
        starts = iter(range(0, many, size))

        async def worker() -> None:
            for start in starts:
                outputs[start : start + size] = await work(items[start : start + size])

        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(worker)
        return len(outputs)

    return body


async def stream(many: int) -> AsyncIterator[int]:
    """An asynchronous source that has its items at hand."""
    for number in range(many):
        yield number


def streamed(many: int, size: int, at_once: int) -> Body:
    """Items of an asynchronous source in parts, several parts at once, folded into one number.

    Ours: `batch` over an asynchronous generator, folded in input order.
    Limit: workers that fill a part from the same generator and add up; without a wait in the source no lock is needed.
    Fair: as many workers, parts and scheduler passes on both sides. The limit could neither wait for its source, nor
    keep an order.
    """

    async def work(part: list[int]) -> list[int]:
        await trio.lowlevel.checkpoint()
        return [item + 1 for item in part]

    async def body() -> int:
        source = stream(many)
        total = 0

        async def worker() -> None:
            nonlocal total
            while True:
                part = list[int]()
                async for item in source:
                    part.append(item)
                    if len(part) == size:
                        break
                if not part:
                    return
                total = functools.reduce(operator.add, await work(part), total)

        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(worker)
        return many if total == many * (many + 1) // 2 else 0

    return body


def items(many: int, at_once: int) -> Body:
    """Items that each wait once, several at once.

    Ours: `each` over a list; the outputs come back in order.
    Limit: workers that take items from one iterator, and write the outputs in place.
    Fair: as many workers and scheduler passes on both sides.
    """
    given = list(range(many))

    async def work(item: int) -> int:
        await trio.lowlevel.checkpoint()
        return item + 1

    async def body() -> int:
        outputs = [0] * many
        source = iter(enumerate(given))

        async def worker() -> None:
            for number, item in source:
                outputs[number] = await work(item)

        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(worker)
        return len(outputs)

    return body
