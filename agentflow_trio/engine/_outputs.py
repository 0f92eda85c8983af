"""What becomes of the outputs of each and batch: a list in input order, or a total.

Layer: engine. Rule: unless told otherwise a total is folded in input order, whoever ends first, behind a window: who is
too far ahead of the slowest waits.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, final

import trio
from outcome import Error, Value

from ._plan import Items, ItemValue

__all__ = ["Collected", "Total", "Window", "outputs_of"]

Absorb: TypeAlias = Callable[[ItemValue, ItemValue], ItemValue]
"""The total and the output of one part give the next total."""

Put: TypeAlias = Callable[[int, ItemValue], None]


@final
class Window:
    """How far workers may be ahead of the fold.

    Attributes:
        taken: parts that were begun; a worker counts before it looks whether there is another one.
        folded: parts that are in the total.
        room: how many may have been begun by now.
    """

    __slots__ = ("_lot", "_waiting", "folded", "room", "taken")

    def __init__(self, size: int) -> None:
        self.room = size
        self._lot = trio.lowlevel.ParkingLot()
        self._waiting = 0  # to ask the lot takes 0.1 us
        self.taken = 0
        self.folded = 0

    async def enter(self) -> None:
        """Wait for room. A checkpoint only if there is none."""
        self._waiting += 1
        try:
            while self.taken >= self.room:
                await self._lot.park()
        finally:
            self._waiting -= 1
        self.taken += 1

    def open(self) -> None:
        """Nobody waits for room any more: all are to see that nothing more is done."""
        self.room = sys.maxsize
        self._lot.unpark_all()

    def fold(self) -> None:
        """One more is in the total."""
        self.folded += 1
        self.room += 1
        if self._waiting:
            self._lot.unpark()


@final
class Collected:
    """Outputs in a list.

    Attributes:
        put: called with the number of a part that ended well, and its output.
    """

    window: ClassVar[None] = None
    __slots__ = ("_size", "_values", "_wrapped", "put")

    def __init__(self, items: Items, length: int) -> None:
        self._size = items.size
        self._wrapped = items.tolerated is not None
        self._values: list[Any] = [None] * length
        # the usual case without a function of ours: 0.1 us
        plain = items.size is None and not self._wrapped
        self.put: Put = self._values.__setitem__ if plain else self._put

    def _put(self, number: int, output: ItemValue) -> None:
        if self._size is None:
            self._values[number] = Value(output)
        else:
            start = number * self._size
            values: list[Any] = [Value(one) for one in output] if self._wrapped else output
            self._values[start : start + len(output)] = values

    def put_failed(self, number: int, many: int, error: Exception) -> None:
        """The part of that *number*, of so *many* items, failed, and that is tolerated."""
        start = number * (self._size or 1)
        self._values[start : start + many] = [Error(error) for _ in range(many)]

    def result(self) -> object:
        """What post gets."""
        return self._values


@final
class Total:
    """Outputs folded into one value.

    Attributes:
        window: how far workers may be ahead; None if the order does not matter.
        put: called with the number of a part that ended well, and its output.
    """

    __slots__ = ("_absorb", "_early", "_size", "_total", "put", "window")

    def __init__(self, items: Items, start: Callable[[], ItemValue], add: Absorb) -> None:
        self._size = items.size
        self._absorb: Absorb = add if items.size is None else functools.partial(_reduce, add)
        self._total = start()
        self._early: dict[int, Any] = {}
        self.window = Window(2 * items.concurrent) if items.ordered else None
        self.put: Put = self._fold if items.tolerated is None else self._put_wrapped

    def _put_wrapped(self, number: int, output: ItemValue) -> None:
        wrapped = Value(output) if self._size is None else [Value(one) for one in output]
        self._fold(number, wrapped)

    def put_failed(self, number: int, many: int, error: Exception) -> None:
        """The part of that *number*, of so *many* items, failed, and that is tolerated."""
        errors = [Error(error) for _ in range(many)]  # each can be unwrapped once only
        self._fold(number, errors[0] if self._size is None else errors)

    def _fold(self, number: int, output: ItemValue) -> None:
        window = self.window
        if window is None:
            self._total = self._absorb(self._total, output)
        elif number != window.folded:
            self._early[number] = output
        else:
            self._total = self._absorb(self._total, output)
            window.fold()
            while self._early and window.folded in self._early:
                self._total = self._absorb(self._total, self._early.pop(window.folded))
                window.fold()

    def result(self) -> object:
        """What post gets."""
        return self._total


def _reduce(add: Absorb, total: ItemValue, outputs: ItemValue) -> ItemValue:
    return functools.reduce(add, outputs, total)


def outputs_of(items: Items, length: int | None) -> Collected | Total:
    """Where the outputs go, of so many items if that is known."""
    if items.start is not None and items.add is not None:
        return Total(items, items.start, items.add)
    return Collected(items, length or 0)
