"""Where the items of each and batch come from: one source that all workers pull from, one part at a time.

Layer: engine. Rules: parts are numbered in the order of the source, whoever pulls; nothing is pulled before a worker is
free; a source that can be closed is, when the work is over.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from itertools import islice
from typing import Any, TypeAlias, TypeGuard, final

import trio

from .._typing import TypeIs
from ._plan import Items

__all__ = [
    "Part",
    "Pulled",
    "closing",
    "is_many",
    "is_spent_by_reading",
    "is_stream",
    "iterate",
    "parts",
]

Part: TypeAlias = tuple[int, Any]
"""Its number in the source, from 0, and what exec gets: an item, or a list of them."""


def is_many(source: object) -> TypeGuard[Iterable[Any]]:
    """Whether it gives its items without waiting."""
    return hasattr(source, "__iter__") or hasattr(source, "__getitem__")


def is_stream(source: object) -> TypeGuard[AsyncIterable[Any]]:
    """Whether it may wait before it gives an item."""
    return hasattr(source, "__aiter__")


def iterate(source: object) -> object:
    """Begin to iterate over *source*; what cannot be iterated over stays what it is."""
    if is_stream(source):
        return aiter(source)
    return iter(source) if is_many(source) else source


def is_spent_by_reading(source: object) -> bool:
    """Whether it gives its items but once: it is itself what an iteration goes through."""
    return hasattr(source, "__next__") or hasattr(source, "__anext__")


def parts(source: Iterable[Any], size: int | None) -> Iterator[Part]:
    """The parts of *source*: items, or so many of them at once; of a sequence that can be sliced, slices."""
    if size is None:
        return enumerate(source)
    return enumerate(_slices(source, size) if _can_be_sliced(source) else _lists(source, size))


def _can_be_sliced(source: Iterable[Any]) -> TypeIs[Sequence[Any]]:
    if not isinstance(source, Sequence):
        return False
    try:
        source[:0]
    except TypeError:  # a deque
        return False
    return True


def _slices(source: Sequence[Any], size: int) -> Iterator[Any]:
    return (source[start : start + size] for start in range(0, len(source), size))


def _lists(source: Iterable[Any], size: int) -> Iterator[Any]:
    iterator = iter(source)
    while part := list(islice(iterator, size)):
        yield part


@final
class Pulled:
    """An asynchronous source. One worker at a time waits for it, the others for that one."""

    __slots__ = ("_busy", "_iterator", "_number", "_others", "_over", "_size")

    def __init__(self, source: AsyncIterable[Any], items: Items) -> None:
        self._iterator: AsyncIterator[Any] = aiter(source)
        self._size = items.size
        self._number = 0
        self._busy = self._over = False
        self._others = trio.lowlevel.ParkingLot()

    async def pull(self) -> Part | None:
        """The next part; None at the end. A checkpoint if the source or another worker lets it wait."""
        # a lock of Trio's would cost a checkpoint for each part
        while self._busy:
            await self._others.park()
        if self._over:
            return None
        self._busy = self._over = True  # over it is, should the source raise
        try:
            part = await self._next()
            if part is None:
                return None
            self._over = False
            number = self._number
            self._number += 1
            return number, part[0]
        finally:
            self._busy = False
            if self._over:
                self._others.unpark_all()
            else:
                self._others.unpark()

    async def _next(self) -> tuple[Any] | None:
        if self._size is None:
            async for item in self._iterator:
                return (item,)
            return None
        many: list[Any] = []
        async for item in self._iterator:
            many.append(item)
            if len(many) == self._size:
                break
        return (many,) if many else None


def closing(source: object) -> Callable[[BaseException | None], Awaitable[object]] | None:
    """What closes *source*; None if it need not be."""
    if inspect.isgenerator(source):
        return _calling(source.close)
    aclose: Callable[[], Awaitable[object]] | None = getattr(source, "aclose", None)
    if not is_stream(source) or aclose is None:
        return None

    async def close(_: BaseException | None) -> None:
        await aclose()

    return close


def _calling(
    close: Callable[[], object],
) -> Callable[[BaseException | None], Awaitable[object]]:
    async def call(_: BaseException | None) -> None:  # noqa: ASYNC124 - awaited like its sisters
        close()

    return call
