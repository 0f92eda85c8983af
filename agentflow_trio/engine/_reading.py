"""Reading what a run gives out, each reader from a bounded queue of its own.

Layer: engine. Rules: one task reads; a reader that was closed, or that nobody holds any more (``break`` out of
``async for``), is forgotten and keeps nobody waiting.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, final

import trio

__all__ = ["Reader", "Readers"]

Item = TypeVar("Item")
Some = TypeVar("Some", bound="Reader[Any]")


class Reader(Generic[Item]):
    """A queue with one reader: an async iterator that ends with the run."""

    __slots__ = ("__weakref__", "_arrived", "_queue", "_room", "ended")

    def __init__(self, room: trio.lowlevel.ParkingLot) -> None:
        self._queue: deque[Item] = deque()
        self._arrived = trio.lowlevel.ParkingLot()
        self._room = room
        self.ended: bool = False

    @property
    def waiting(self) -> int:
        """How much is there to be read."""
        return len(self._queue)

    def take(self, item: Item) -> None:
        """Put *item* in the queue; the caller has seen to the bound."""
        self._queue.append(item)
        self._arrived.unpark_all()

    def end(self) -> None:
        """Nothing more comes; what is in the queue can still be read."""
        self.ended = True
        self._arrived.unpark_all()
        self._room.unpark_all()

    def close(self) -> None:
        """Stop reading and drop what was not read. Not a checkpoint."""
        self._queue.clear()
        self.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def _next(self) -> Item:
        await trio.lowlevel.checkpoint()
        while not self._queue:
            if self.ended:
                raise StopAsyncIteration
            await self._arrived.park()
        self._room.unpark_all()
        return self._queue.popleft()


@final
class Readers(Generic[Some]):
    """The readers of one run, held weakly, and those who wait for room in their queues.

    Attributes:
        room: where writers wait; every reader wakes them.
    """

    __slots__ = ("_refs", "_token", "room")

    def __init__(self) -> None:
        self._refs: list[weakref.ref[Some]] = []
        self._token = trio.lowlevel.current_trio_token()
        self.room: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()

    def add(self, reader: Some) -> None:
        """Give *reader* what comes from now on."""
        self._refs.append(weakref.ref(reader, self._gone))

    def _gone(self, _: weakref.ref[Some]) -> None:
        """Perhaps in another thread, or between any two lines: the collector calls this."""
        with contextlib.suppress(trio.RunFinishedError):  # nobody waits any more
            self._token.run_sync_soon(self.room.unpark_all)

    def open(self) -> list[Some]:
        """Those that still read."""
        if not self._refs:
            return []
        readers = [reader for ref in self._refs if (reader := ref()) is not None]
        if len(readers) < len(self._refs) or any(reader.ended for reader in readers):
            readers = [reader for reader in readers if not reader.ended]
            self._refs = [weakref.ref(reader, self._gone) for reader in readers]
        return readers

    async def wait_while(self, full: Callable[[Some], bool]) -> None:
        """Wait while any of them is *full*. A checkpoint only if it waits."""
        while any(map(full, self.open())):
            await self.room.park()

    def end(self) -> None:
        """Nothing more comes."""
        for reader in self.open():
            reader.end()
