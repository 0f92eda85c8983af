"""Our side of the workloads: what a user of agentflow_trio would write. `bench_limits` says what each one is."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

import trio
from attrs import define
from bench_limits import Body, ByHand, Card, Gate, Staged, Sum, Tally, cut_off, stream
from typing_extensions import override

from agentflow_trio import (
    END,
    Flow,
    Next,
    Source,
    Step,
    Wiring,
    batch,
    each,
    flow,
    fold,
    parallel,
    step,
)

__all__ = [
    "batches",
    "branches",
    "branches_cut_off",
    "by_hand_quiet",
    "chain",
    "chain_of_functions",
    "fleet",
    "items",
    "items_folded",
    "loop",
    "loop_quiet",
    "nested",
    "parked",
    "streamed",
    "streamed_alone",
]


class Count:
    """A node that counts one up and waits once."""

    async def prep(self, shared: Tally, /) -> int:
        return shared.done

    async def exec(self, prepared: int, /) -> int:
        await trio.lowlevel.checkpoint()
        return prepared + 1

    async def post(self, shared: Tally, _prepared: int, result: int, /) -> None:
        shared.done = result


class Turn:
    """A node that waits once and says whether to go on."""

    async def prep(self, shared: Tally, /) -> int:
        return shared.done

    async def exec(self, prepared: int, /) -> int:
        await trio.lowlevel.checkpoint()
        return prepared + 1

    async def post(
        self, shared: Tally, _prepared: int, result: int, /, *, again: Next, done: Next
    ) -> Next:
        shared.done = result
        return again if result < shared.until else done


class TurnQuiet(Turn):
    """The same without waiting."""

    @override
    async def exec(self, prepared: int, /) -> int:
        return prepared + 1


class CountCard:
    """A node of a nested flow."""

    async def prep(self, shared: Card, /) -> int:
        return shared.done

    async def exec(self, prepared: int, /) -> int:
        await trio.lowlevel.checkpoint()
        return prepared + 1

    async def post(self, shared: Card, _prepared: int, result: int, /) -> None:
        shared.done = result


class Halt(Count):
    """A node that waits at the gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @override
    async def exec(self, prepared: int, /) -> int:
        await self.gate.wait()
        return prepared + 1


@step
async def count(tally: Tally) -> None:
    """The function step: the same unit, on a fork of the state of its own."""
    tally.done += 1
    await trio.lowlevel.checkpoint()


def in_a_row(steps: list[Step[Tally, []]]) -> Flow[Tally, []]:
    """A flow that takes *steps* one after the other."""

    @flow(name="row")
    def row() -> Wiring[Tally]:
        links = [one.then(next_one) for one, next_one in itertools.pairwise(steps)]
        return [*links, steps[-1].then(END)]

    return row


def once(work: Flow[Tally, []]) -> Body:
    async def body() -> int:
        result = await work.run(Tally())
        return result.state.done

    return body


def chain(nodes: int) -> Body:
    return once(in_a_row([Step(Count(), name=f"node_{number}") for number in range(nodes)]))


def chain_of_functions(nodes: int) -> Body:
    return once(in_a_row([count.with_(name=f"node_{number}") for number in range(nodes)]))


def by_hand_quiet(nodes: int) -> Body:
    return once(in_a_row([Step(ByHand(), name=f"node_{number}") for number in range(nodes)]))


def looping(node: Turn, steps: int) -> Body:
    turn = Step(node, name="turn")

    @flow(name="loop")
    def turns() -> Wiring[Tally]:
        return [turn.to(again=turn, done=END)]

    async def body() -> int:
        result = await turns.run(Tally(until=steps))
        return result.state.done

    return body


def loop(steps: int) -> Body:
    return looping(Turn(), steps)


def loop_quiet(steps: int) -> Body:
    return looping(TurnQuiet(), steps)


def innermost() -> Flow[Card, []]:
    work = Step(CountCard(), name="work")

    @flow(name="level")
    def level() -> Wiring[Card]:
        return [work.then(END)]

    return level


def around(inner: Flow[Card, []]) -> Flow[Card, []]:
    work = Step(CountCard(), name="work")
    below = Step(inner, name="below")

    @flow(name="level")
    def level() -> Wiring[Card]:
        return [work.then(below), below.then(END)]

    return level


def nested(depth: int, times: int) -> Body:
    top = innermost()
    for _ in range(depth - 1):
        top = around(top)

    async def body() -> int:
        done = 0
        for _ in range(times):
            result = await top.run(Card())
            done += result.state.done
        return done

    return body


def fleet(flows: int, nodes: int) -> Body:
    row = in_a_row([Step(Count(), name=f"node_{number}") for number in range(nodes)])

    async def body() -> int:
        done = 0

        async def member() -> None:
            nonlocal done
            result = await row.run(Tally())
            done += result.state.done

        async with trio.open_nursery() as nursery:
            for _ in range(flows):
                nursery.start_soon(member)
        return done

    return body


def parked(flows: int, nodes: int, gate: Gate) -> Body:
    before = nodes // 2
    names = [f"node_{number}" for number in range(nodes)]
    steps = [Step(Count(), name=name) for name in names]
    steps[before] = Step(Halt(gate), name=names[before])
    row = in_a_row(steps)
    tallies = [Tally() for _ in range(flows)]

    async def body() -> int:
        async with trio.open_nursery() as nursery:
            for tally in tallies:
                nursery.start_soon(row.run, tally)
        return flows * nodes

    return body


# ---------------------------------------------------------------- all at once


@define
class Board:
    """The state of the workloads with items."""

    got: int = 0


def counting(name: str) -> Step[Sum, []]:
    @step(name=name)
    async def counts(sums: Sum) -> None:
        sums.total += 1
        await trio.lowlevel.checkpoint()

    return counts


def branches(many: int) -> Body:
    all_ = Step(parallel(*(counting(f"n{number}") for number in range(many))))

    async def body() -> int:
        return (await all_.run(Sum())).state.total

    return body


def branches_cut_off(many: int) -> Body:
    gates = list[Gate]()

    @step(name="waits")
    async def waits(sums: Sum) -> None:
        await gates[-1].wait()

    all_ = Step(parallel(*(waits.with_(name=f"n{number}") for number in range(many))))

    async def start(gate: Gate) -> None:
        gates.append(gate)
        await all_.run(Sum())

    return Staged(lambda: cut_off(start, many))


class Parts:
    """A node whose exec gets several items and waits once."""

    def __init__(self, many: int) -> None:
        self.items = list(range(many))

    async def prep(self, shared: Board, /) -> Sequence[int]:
        return self.items

    async def exec(self, items: Sequence[int], /) -> Sequence[int]:
        await trio.lowlevel.checkpoint()
        return [item + 1 for item in items]

    async def post(self, shared: Board, items: Sequence[int], got: Sequence[int], /) -> None:
        shared.got = len(got)


class StreamedParts:
    """The same over an asynchronous source, folded."""

    def __init__(self, many: int) -> None:
        self.many = many

    async def prep(self, shared: Board, /) -> Source[int]:
        return stream(self.many)

    async def exec(self, items: Sequence[int], /) -> Sequence[int]:
        await trio.lowlevel.checkpoint()
        return [item + 1 for item in items]

    async def post(self, shared: Board, source: Source[int], total: int, /) -> None:
        shared.got = self.many if total == self.many * (self.many + 1) // 2 else 0


class Single:
    """A node whose exec gets one item and waits once."""

    def __init__(self, many: int) -> None:
        self.items = list(range(many))

    async def prep(self, shared: Board, /) -> Sequence[int]:
        return self.items

    async def exec(self, item: int, /) -> int:
        await trio.lowlevel.checkpoint()
        return item + 1

    async def post(self, shared: Board, items: Sequence[int], got: Sequence[int], /) -> None:
        shared.got = len(got)


class SingleFolded:
    """The same, folded."""

    def __init__(self, many: int) -> None:
        self.items = list(range(many))

    async def prep(self, shared: Board, /) -> Source[int]:
        return self.items

    async def exec(self, item: int, /) -> int:
        await trio.lowlevel.checkpoint()
        return item + 1

    async def post(self, shared: Board, items: Source[int], total: int, /) -> None:
        shared.got = len(self.items) if total else 0


def run_of(one: Step[Board, []]) -> Body:
    async def body() -> int:
        return (await one.run(Board())).state.got

    return body


def batches(many: int, size: int, at_once: int) -> Body:
    return run_of(Step(batch(Parts(many), size=size, concurrent=at_once)))


def streamed(many: int, size: int, at_once: int) -> Body:
    into = fold(int, operator.add)
    return run_of(Step(batch(StreamedParts(many), size=size, concurrent=at_once, into=into)))


def streamed_alone(many: int) -> Body:
    return streamed(many, 100, 8)


def items(many: int, at_once: int) -> Body:
    return run_of(Step(each(Single(many), concurrent=at_once)))


def items_folded(many: int, at_once: int) -> Body:
    node = each(SingleFolded(many), concurrent=at_once, into=fold(int, operator.add))
    return run_of(Step(node))
