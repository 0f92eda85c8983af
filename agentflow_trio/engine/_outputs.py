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


@final
class Window:
    """How far workers may be ahead of the fold.

    Attributes:
        taken: parts that were begun; a worker counts before it looks whether there is another one.
        folded: parts that are in the total.
    """

    __slots__ = ("_lot", "_size", "folded", "taken")

    def __init__(self, size: int) -> None:
        self._size = size
        self._lot = trio.lowlevel.ParkingLot()
        self.taken = 0
        self.folded = 0

    async def enter(self) -> None:
        """Wait for room. A checkpoint only if there is none."""
        while self.taken - self.folded >= self._size:
            await self._lot.park()
        self.taken += 1

    def open(self) -> None:
        """Nobody waits for room any more: all are to see that nothing more is done."""
        self._size = sys.maxsize
        self._lot.unpark_all()

    def fold(self) -> None:
        """One more is in the total."""
        self.folded += 1
        if self._lot:
            self._lot.unpark()


@final
class Collected:
    """Outputs in a list."""

    window: ClassVar[None] = None
    __slots__ = ("_size", "_values", "_wrapped")

    def __init__(self, items: Items, length: int) -> None:
        self._size = items.size
        self._wrapped = items.tolerated is not None
        self._values: list[Any] = [None] * length

    def put(self, number: int, output: ItemValue) -> None:
        """The part of that *number* ended well."""
        if self._size is None:
            self._values[number] = Value(output) if self._wrapped else output
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
    """

    __slots__ = ("_absorb", "_early", "_size", "_total", "_wrapped", "window")

    def __init__(self, items: Items, start: Callable[[], ItemValue], add: Absorb) -> None:
        self._size = items.size
        self._wrapped = items.tolerated is not None
        self._absorb: Absorb = add if items.size is None else functools.partial(_reduce, add)
        self._total = start()
        self._early: dict[int, Any] = {}
        self.window = Window(2 * items.concurrent) if items.ordered else None

    def put(self, number: int, output: ItemValue) -> None:
        """The part of that *number* ended well."""
        if self._wrapped:
            output = Value(output) if self._size is None else [Value(one) for one in output]
        self._fold(number, output)

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
            while window.folded in self._early:
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
