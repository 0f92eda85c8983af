# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""PocketFlow's side: AsyncNode with its three phases, on one shared dict. It forks nothing."""

from __future__ import annotations

import asyncio
import itertools

from pocketflow import AsyncFlow, AsyncNode, AsyncParallelBatchNode


class Count(AsyncNode):
    async def prep_async(self, shared):
        return shared["done"]

    async def exec_async(self, prep_res):
        await asyncio.sleep(0)
        return prep_res + 1

    async def post_async(self, shared, prep_res, exec_res) -> None:
        shared["done"] = exec_res


class CountQuiet(Count):
    async def exec_async(self, prep_res):
        return prep_res + 1


class Turn(Count):
    async def post_async(self, shared, prep_res, exec_res) -> str:
        shared["done"] = exec_res
        return "again" if exec_res < shared["until"] else "done"


class End(AsyncNode):
    """Where a loop goes: without it PocketFlow warns that "done" leads nowhere."""


def row(nodes):
    for one, next_one in itertools.pairwise(nodes):
        one.next(next_one)
    return AsyncFlow(start=nodes[0])


def once(flow):
    async def body():
        shared = {"done": 0}
        await flow.run_async(shared)
        return shared["done"]

    return body


def chain(nodes):
    return once(row([Count() for _ in range(nodes)]))


def by_hand_quiet(nodes):
    return once(row([CountQuiet() for _ in range(nodes)]))


def loop(steps):
    turn = Turn()
    turn.next(turn, "again")
    turn.next(End(), "done")
    flow = AsyncFlow(start=turn)

    async def body():
        shared = {"done": 0, "until": steps}
        await flow.run_async(shared)
        return shared["done"]

    return body


def nested(depth, times):
    top = row([Count()])
    for _ in range(depth - 1):
        top = row([Count(), top])
    flow = AsyncFlow(start=top)

    async def body():
        done = 0
        for _ in range(times):
            shared = {"done": 0}
            await flow.run_async(shared)
            done += shared["done"]
        return done

    return body


def fleet(flows, nodes):
    flow = row([Count() for _ in range(nodes)])

    async def body():
        boards = [{"done": 0} for _ in range(flows)]
        await asyncio.gather(*(flow.run_async(board) for board in boards))
        return sum(board["done"] for board in boards)

    return body


class AtOnce(AsyncParallelBatchNode):
    """An exec for each item, all at once."""

    def __init__(self, items) -> None:
        super().__init__()
        self.items = items

    async def prep_async(self, shared):
        return self.items

    async def exec_async(self, prep_res):
        await asyncio.sleep(0)
        return prep_res + 1

    async def post_async(self, shared, prep_res, exec_res) -> None:
        shared["done"] = len(exec_res)


class SomeAtOnce(AtOnce):
    """The same, so many at once: by a semaphore of the user's."""

    def __init__(self, items, at_once) -> None:
        super().__init__(items)
        self.at_once = at_once
        self.places = None

    async def prep_async(self, shared):
        self.places = asyncio.Semaphore(self.at_once)
        return self.items

    async def exec_async(self, prep_res):
        async with self.places:
            await asyncio.sleep(0)
            return prep_res + 1


class Parts(SomeAtOnce):
    """The same with several items each."""

    async def exec_async(self, prep_res):
        async with self.places:
            await asyncio.sleep(0)
            return [item + 1 for item in prep_res]

    async def post_async(self, shared, prep_res, exec_res) -> None:
        shared["done"] = len([item for part in exec_res for item in part])


def branches(many):
    return once(AsyncFlow(start=AtOnce(list(range(many)))))


def items(many, at_once):
    return once(AsyncFlow(start=SomeAtOnce(list(range(many)), at_once)))


def batches(many, size, at_once):
    given = list(range(many))
    parts = [given[start : start + size] for start in range(0, many, size)]
    return once(AsyncFlow(start=Parts(parts, at_once)))
