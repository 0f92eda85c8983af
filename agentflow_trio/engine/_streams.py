"""Typed output streams of a run, such as tokens: written by steps, read through the run's handle.

Layer: engine. Rules: a chunk waits until every reader has room (backpressure); without a reader it is dropped.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar, final

import trio

from ..types import Stream
from ._reading import Reader, Readers

__all__ = ["BUFFER", "StreamReader", "Streams"]

Value = TypeVar("Value")

BUFFER: Final = 16
"""How many chunks a reader may be behind before ``emit`` waits for it."""


@final
class StreamReader(Reader[Value], Generic[Value]):
    """The chunks of one stream, from the moment ``run.stream(...)`` was called: ``async for chunk in run.stream(TOKENS):``.

    Ends with the run. ``break`` leaves it; one that is kept but no longer read makes ``emit`` wait, so leave it with
    ``close()``, or use ``with run.stream(TOKENS) as tokens:``.
    """

    __slots__ = ("stream",)

    def __init__(self, stream: Stream[Value], room: trio.lowlevel.ParkingLot) -> None:
        super().__init__(room)
        self.stream: Final[Stream[Value]] = stream

    async def __anext__(self) -> Value:
        """The next chunk. Always a checkpoint."""
        return await self._next()


@final
class Streams:
    """All readers of one run's streams."""

    __slots__ = ("_ended", "_readers")

    def __init__(self) -> None:
        self._readers: Readers[StreamReader[Any]] = Readers()
        self._ended = False

    def read(self, stream: Stream[Value]) -> StreamReader[Value]:
        """Start reading *stream*."""
        reader: StreamReader[Value] = StreamReader(stream, self._readers.room)
        if self._ended:
            reader.end()
        else:
            self._readers.add(reader)
        return reader

    async def put(self, stream: Stream[Value], chunk: Value) -> None:
        """Pass a chunk to every reader of *stream*. A checkpoint only if one of them has no room."""
        await self._readers.wait_while(
            lambda reader: reader.stream == stream and reader.waiting >= BUFFER
        )
        for reader in self._readers.open():
            if reader.stream == stream:
                reader.take(chunk)

    def close(self) -> None:
        """End all streams once they are read."""
        self._ended = True
        self._readers.end()
