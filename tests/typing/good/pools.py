"""A pool lends what its factory makes, typed; bulkheads are guards, pools are not."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractAsyncContextManager
from typing import assert_type

from attrs import define

from agentflow_trio import Bulkhead, BulkheadPolicy, PoolPolicy, ResourcePool, open_pool
from agentflow_trio.robustness import Guard


@define
class Session:
    url: str
    open: bool = True

    async def get(self, path: str) -> bytes:
        return f"{self.url}{path}".encode()

    async def aclose(self) -> None:
        self.open = False


async def connect() -> Session:
    return Session("http://example.org")


async def database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


def is_open(session: Session) -> bool:
    return session.open


def still_good(session: Session, error: BaseException) -> bool:
    return session.open and isinstance(error, ValueError)


async def borrow(pool: ResourcePool[Session]) -> int:
    loan = pool.lend()
    assert_type(loan, AbstractAsyncContextManager[Session, None])
    async with loan as session:
        return len(await session.get("/"))


async def total(factor: int, amount: float) -> float:
    return factor * amount


places: Bulkhead = Bulkhead("search", limit=3)
patient = Bulkhead("search", BulkheadPolicy(limit=3, max_waiters=100, max_wait=2.5))
guards: tuple[Guard, ...] = (places, patient)


async def main() -> None:
    events: list[object] = []
    policy = PoolPolicy(size=3, max_idle=60.0, max_life=3600.0)
    async with open_pool(
        connect,
        policy,
        name="http",
        close=Session.aclose,
        validate=is_open,
        reusable=still_good,
        on_event=events.append,
    ) as pool:
        assert_type(pool, ResourcePool[Session])
        async with pool.lend() as session:
            assert_type(session, Session)
            pool.discard(session)
        assert await borrow(pool) == 19
        with pool.lend_nowait() as ready:
            assert_type(ready, Session)
        assert pool.statistics().made == 2
    assert len(events) == 4
    # closed by a plain function, a method of the class
    close = sqlite3.Connection.close
    async with open_pool(database, size=1, close=close) as one, one.lend() as conn:
        assert_type(conn, sqlite3.Connection)
        conn.commit()
    async with places:
        assert_type(places.statistics().inside, int)
    with patient.enter_nowait():
        patient.resize(5)
    assert_type(await places.call(total, 3, 1.5), float)
