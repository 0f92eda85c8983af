# Not typed: where types are checked, the library on the other side of these calls is not installed.
# ruff: noqa: ANN001, ANN201, ANN202
"""PocketFlow's side: AsyncNode with its three phases, on one shared dict. It forks nothing."""

from __future__ import annotations

import asyncio
import itertools

from pocketflow import AsyncFlow, AsyncNode


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
