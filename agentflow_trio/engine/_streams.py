"""Typed output streams of a run, such as tokens: written by steps, read through the run's handle.

Layer: engine. Rules: a chunk waits until every reader has room (backpressure); without a reader it is dropped.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Generic, TypeVar, final

import trio

from ..types import Stream

__all__ = ["BUFFER", "StreamReader", "Streams"]

Value = TypeVar("Value")

BUFFER: Final = 16
"""How many chunks a reader may be behind before ``emit`` waits for it."""


@final
class StreamReader(Generic[Value]):
    """The chunks of one stream, from the moment ``run.stream(...)`` was called: ``async for chunk in run.stream(TOKENS):``.

    Ends with the run. Leave early with ``close()`` or ``with run.stream(TOKENS) as tokens:``; a reader that is
    neither read nor closed makes ``emit`` wait.
    """

    __slots__ = ("_chunks", "_ended", "_readers", "_writers")

    def __init__(self) -> None:
        self._chunks: deque[Value] = deque()
        self._ended = False
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()

    async def put(self, chunk: Value) -> None:
        """Wait for room, then take a chunk. A checkpoint only if it waits."""
        while len(self._chunks) >= BUFFER and not self._ended:
            await self._writers.park()
        if not self._ended:
            self._chunks.append(chunk)
            self._readers.unpark_all()

    def end(self) -> None:
        """No more chunks come."""
        self._ended = True
        self._readers.unpark_all()
        self._writers.unpark_all()

    def close(self) -> None:
        """Stop reading and drop what was not read. Not a checkpoint."""
        self._chunks.clear()
        self.end()

    def __enter__(self) -> StreamReader[Value]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> StreamReader[Value]:
        return self

    async def __anext__(self) -> Value:
        """The next chunk. Always a checkpoint."""
        await trio.lowlevel.checkpoint()
        while not self._chunks:
            if self._ended:
                raise StopAsyncIteration
            await self._readers.park()
        self._writers.unpark_all()
        return self._chunks.popleft()


@final
class Streams:
    """All readers of one run's streams."""

    __slots__ = ("_ended", "_readers")

    def __init__(self) -> None:
        self._readers: list[tuple[Stream[Any], StreamReader[Any]]] = []
        self._ended = False

    def read(self, stream: Stream[Value]) -> StreamReader[Value]:
        """Start reading *stream*."""
        reader: StreamReader[Value] = StreamReader()
        if self._ended:
            reader.end()
        else:
            self._readers.append((stream, reader))
        return reader

    async def put(self, stream: Stream[Value], chunk: Value) -> None:
        """Pass a chunk to every reader of *stream*. A checkpoint only if one of them has no room."""
        for read, reader in [*self._readers]:
            if read == stream:
                await reader.put(chunk)

    def close(self) -> None:
        """End all streams once they are read."""
        self._ended = True
        for _, reader in self._readers:
            reader.end()
        self._readers.clear()
