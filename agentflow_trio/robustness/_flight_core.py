"""Who loads what, and who waits for it. No clock, no I/O.

Layer: robustness, the rules that SingleFlight and TTLCache share. Rules: a key is loaded once at a time, for all who
ask; who waits is served in the order of arrival; when the one who loads is gone, the next one begins anew. What was
asked for before a key became invalid is answered, but nobody who comes later gets that answer.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Literal, TypeAlias, TypeVar, final

__all__ = ["Ended", "Flight", "FlightCore"]

Key = TypeVar("Key")
Who = TypeVar("Who")

Ended: TypeAlias = Literal["loaded", "failed", "cancelled"]
"""How a load ended."""


@final
class Flight(Generic[Key, Who]):
    """A load that goes on.

    Attributes:
        key: what is loaded.
        begun: when.
        current: whether it is what the next who asks for the key will get. If not, nobody can join it any more.
        within: the flight in whose load its leader asked; None for most.
        waiting: who waits for it, first to last, each with the flight in whose load it asked.
    """

    __slots__ = ("begun", "current", "key", "waiting", "within")

    def __init__(self, key: Key, begun: float, within: Flight[Key, Who] | None) -> None:
        self.key = key
        self.begun = begun
        self.current = True
        self.within = within
        self.waiting: OrderedDict[Who, Flight[Key, Who] | None] = OrderedDict()


@final
class FlightCore(Generic[Key, Who]):
    """The loads of one SingleFlight or TTLCache. *Who* is anything that can be told apart, and waits once at a time.

    Attributes:
        flights: the current load of each key that has one.
        running: all loads that go on, as keys.
        joined: how many asked for what was being loaded already.
        ended: how many loads ended, and how.
    """

    __slots__ = ("ended", "flights", "joined", "running")

    def __init__(self) -> None:
        self.flights: dict[Key, Flight[Key, Who]] = {}
        self.running: dict[Flight[Key, Who], None] = {}
        self.joined: int = 0
        self.ended: dict[Ended, int] = {"loaded": 0, "failed": 0, "cancelled": 0}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(flight.waiting) for flight in self.running)

    # ------------------------------------------------------------ coming

    def begin(self, key: Key, now: float, within: Flight[Key, Who] | None) -> Flight[Key, Who]:
        """Begin to load *key*, which nobody loads, for one who asks *within* the load of another."""
        flight = Flight(key, now, within)
        self.flights[key] = flight
        self.running[flight] = None
        return flight

    def needs(self, flight: Flight[Key, Who], within: Flight[Key, Who]) -> bool:
        """Whether *flight* cannot end before *within* has: it is the same, or waits for it, or for one that does."""
        found = {within: None}
        todo = [within]
        while todo:
            one = todo.pop()
            for other in (one.within, *one.waiting.values()):
                if other is not None and other not in found:
                    found[other] = None
                    todo.append(other)
        return flight in found

    def join(self, flight: Flight[Key, Who], who: Who, within: Flight[Key, Who] | None) -> None:
        """Let *who* wait for *flight*, after all who do; *flight* must not need *within*, or none of them ends."""
        flight.waiting[who] = within
        self.joined += 1

    # ------------------------------------------------------------ going

    def withdraw(self, flight: Flight[Key, Who], who: Who) -> None:
        """Let *who* wait for *flight* no longer.

        Raises:
            KeyError: it does not; nothing changed.
        """
        del flight.waiting[who]

    def end(self, flight: Flight[Key, Who], ended: Ended) -> tuple[Who, ...]:
        """End *flight*, which has an answer; who waits for that, first to last."""
        self.ended[ended] += 1
        del self.running[flight]
        if flight.current:
            del self.flights[flight.key]
        waiting = tuple(flight.waiting)
        flight.waiting.clear()
        return waiting

    def hand_on(self, flight: Flight[Key, Who], now: float) -> Who | None:
        """Take *flight* from the one who leads it, and who is gone. Return who leads it now and must begin anew, if anybody.

        What begins after a key became invalid is valid again, unless somebody else was faster to begin.
        """
        if not flight.waiting:
            self.end(flight, "cancelled")
            return None
        self.ended["cancelled"] += 1
        heir, flight.within = flight.waiting.popitem(last=False)
        flight.begun = now
        if not flight.current and flight.key not in self.flights:
            self.flights[flight.key] = flight
            flight.current = True
        return heir

    # ------------------------------------------------------------ what is being loaded is old

    def invalidate(self, key: Key) -> None:
        """Who asks for *key* from now on does not get what is being loaded."""
        flight = self.flights.pop(key, None)
        if flight is not None:
            flight.current = False

    def clear(self) -> None:
        """The same for all keys."""
        for flight in self.flights.values():
            flight.current = False
        self.flights.clear()
