"""A connection is lent or idle, never lost; the twin looks for it after a timeout as well."""

from __future__ import annotations

from random import Random

import trio

CONNECTION = "connection 1"
SEND, ANSWER = 0.1, 0.2


class Ticket:
    """A place in the queue; whoever gives a connection back puts it here."""

    def __init__(self) -> None:
        self.connection: str | None = None
        self.ready = trio.Event()


class Pool:
    def __init__(self, buggy: bool) -> None:
        self.buggy = buggy
        self.idle = [CONNECTION]
        self.queue: list[Ticket] = []

    async def borrow(self, patience: float) -> str | None:
        if self.idle:
            return self.idle.pop()
        ticket = Ticket()
        self.queue.append(ticket)
        with trio.move_on_after(patience):
            await ticket.ready.wait()
            return ticket.connection
        if ticket in self.queue:
            self.queue.remove(ticket)
        # It may have come at the last instant: handed over, but not noticed any more.
        return None if self.buggy else ticket.connection

    def give_back(self, connection: str) -> None:
        if self.queue:
            ticket = self.queue.pop(0)
            ticket.connection = connection
            ticket.ready.set()
        else:
            self.idle.append(connection)


async def program(rng: Random, buggy: bool) -> list[str]:
    pool = Pool(buggy)

    async def client(patience: float) -> None:
        connection = await pool.borrow(patience)
        if connection is not None:
            await trio.sleep(SEND + ANSWER)
            pool.give_back(connection)

    async with trio.open_nursery() as nursery:
        for patience in (9.0, 0.3):
            nursery.start_soon(client, patience)
    return pool.idle


def check(obs: list[str]) -> None:
    assert obs == [CONNECTION], (
        "the connection is gone: it was handed to a waiter whose time was up at that very"
        " instant, and a timeout was taken to mean that nothing had come"
    )
