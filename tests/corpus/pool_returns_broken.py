"""A row answers the question asked; the twin drops a connection whose reply is still due."""

from __future__ import annotations

from random import Random

import trio


class Connection:
    """One query at a time; answers come in the order of the questions."""

    def __init__(self, server: trio.Nursery) -> None:
        self.questions, inbox = trio.open_memory_channel[int](1)
        outbox, self.answers = trio.open_memory_channel[str](1)
        self.in_flight = False
        server.start_soon(serve, inbox, outbox)

    async def query(self, key: int) -> str:
        self.in_flight = True
        await self.questions.send(key)
        answer = await self.answers.receive()
        self.in_flight = False
        return answer


async def serve(
    inbox: trio.MemoryReceiveChannel[int], outbox: trio.MemorySendChannel[str]
) -> None:
    async for key in inbox:
        await trio.lowlevel.checkpoint()
        await outbox.send(f"row {key}")


class Pool:
    """One connection for all; who wants it waits."""

    def __init__(self, server: trio.Nursery, buggy: bool) -> None:
        self.server = server
        self.buggy = buggy
        self.give, self.take = trio.open_memory_channel[Connection](1)
        self.give.send_nowait(Connection(server))

    async def query(self, key: int) -> str:
        connection = await self.take.receive()
        try:
            return await connection.query(key)
        finally:
            if connection.in_flight and not self.buggy:
                connection.questions.close()
                connection = Connection(self.server)
            self.give.send_nowait(connection)


async def program(rng: Random, buggy: bool) -> dict[int, str]:
    rows: dict[int, str] = {}
    tab = trio.CancelScope()

    async def page(pool: Pool, key: int, scope: trio.CancelScope) -> None:
        with scope:
            rows[key] = await pool.query(key)

    async with trio.open_nursery() as server:
        pool = Pool(server, buggy)
        async with trio.open_nursery() as users:
            users.start_soon(page, pool, 1, tab)
            users.start_soon(page, pool, 2, trio.CancelScope())
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            tab.cancel()  # the first user closes the page
        server.cancel_scope.cancel()
    return rows


def check(obs: dict[int, str]) -> None:
    for key, row in obs.items():
        assert row == f"row {key}", (
            f"asked for row {key}, got {row!r}: the connection still owed it to a cancelled user"
        )
