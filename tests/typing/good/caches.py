"""A cache knows the types of its keys and values from the function that loads."""

from __future__ import annotations

from typing import assert_type

from attrs import frozen

from agentflow_trio import CachePolicy, LoadFailedError, SingleFlight, TTLCache
from agentflow_trio.robustness import SingleFlightStatistics, TTLCacheStatistics


@frozen
class Place:
    country: str
    town: str


async def weather(place: Place) -> float:
    return 20.0 if place.town == "Oslo" else 30.0


async def nickname(user: int) -> str | None:
    return None if user else "root"


def how_long(place: Place, degrees: float) -> float:
    return degrees if place.country == "NO" else 60.0


class Users:
    """A method loads as well as a function."""

    def __init__(self) -> None:
        self.names = TTLCache(self._name, ttl=60.0, name="names")

    async def _name(self, user: int) -> str:
        return f"user {user}"


flight = SingleFlight(weather, name="weather")
kept: TTLCache[Place, float] = TTLCache(
    weather, CachePolicy(ttl=60.0, stale_if_error=3600), ttl_of=how_long
)
short = TTLCache(nickname, ttl=1)
by_lambda: SingleFlight[str, float] = SingleFlight(lambda town: weather(Place("NO", town)))


async def main() -> None:
    oslo = Place("NO", "Oslo")
    assert_type(flight, SingleFlight[Place, float])
    assert_type(await flight.get(oslo), float)
    assert_type(await kept.get(oslo), float)
    assert_type(await by_lambda.get("Oslo"), float)
    assert_type(kept.peek(oslo), float | None)
    assert_type(kept.peek(oslo, "unknown"), float | str)
    assert_type(await short.get(0), str | None)
    assert_type(await Users().names.get(7), str)
    kept.put(oslo, -5.0)
    kept.invalidate(oslo)
    kept.clear()
    flight.invalidate(oslo)
    assert_type(kept.statistics(), TTLCacheStatistics)
    assert_type(flight.statistics(), SingleFlightStatistics)
    assert_type(LoadFailedError(guard="weather").guard, str)
