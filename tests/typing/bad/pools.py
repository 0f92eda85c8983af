"""Pools and bulkheads used wrongly."""

from __future__ import annotations

import sqlite3

from agentflow_trio import Bulkhead, BulkheadPolicy, PoolPolicy, ResourcePool, open_pool
from agentflow_trio.robustness import Guard


class Session:
    def get(self, path: str) -> bytes:
        return path.encode()

    async def aclose(self) -> None: ...


async def connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


def connect_now() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


async def total(factor: int, amount: float) -> float:
    return factor * amount


# ---- an attribute of the object lent, misspelt
async def misspelt(pool: ResourcePool[sqlite3.Connection]) -> None:
    async with pool.lend() as conn:
        conn.comit()  # bad


# ---- an object of another class
async def another(pool: ResourcePool[sqlite3.Connection]) -> None:
    async with pool.lend() as conn:
        session: Session = conn  # bad
        print(session)


# ---- the pool entered as if it lent by itself
async def entered(pool: ResourcePool[sqlite3.Connection]) -> None:
    async with pool as conn:  # bad
        print(conn)  # bad: pyright


# ---- an object lent without async
async def lent_sync(pool: ResourcePool[sqlite3.Connection]) -> None:
    with pool.lend() as conn:  # bad
        print(conn)  # bad: pyright


# ---- an idle object lent with async
async def nowait_async(pool: ResourcePool[sqlite3.Connection]) -> None:
    async with pool.lend_nowait() as conn:  # bad
        print(conn)  # bad: pyright


# ---- a loan awaited
async def awaited(pool: ResourcePool[sqlite3.Connection]) -> None:
    await pool.lend()  # bad


# ---- a loan used as if it were the object
async def not_entered(pool: ResourcePool[sqlite3.Connection]) -> None:
    pool.lend().commit()  # bad


# ---- something discarded that the pool does not lend
async def discarded(pool: ResourcePool[sqlite3.Connection]) -> None:
    pool.discard(Session())  # bad


# ---- a pool of other objects
async def of_others(pool: ResourcePool[sqlite3.Connection]) -> None:
    sessions: ResourcePool[Session] = pool  # bad
    print(sessions)


# ---- a pool is no guard: its object would be lost
def as_guard(pool: ResourcePool[sqlite3.Connection]) -> Guard:
    return pool  # bad


# ---- neither is a pool about to be opened
guards: list[Guard] = [open_pool(connect, size=3)]  # bad


# ---- a pool that is not opened yet
async def closed() -> None:
    pool = open_pool(connect, size=3)
    async with pool.lend() as conn:  # bad
        print(conn)  # bad: pyright


# ---- a pool opened without async
async def opened_sync() -> None:
    with open_pool(connect, size=3) as pool:  # bad
        print(pool)  # bad: pyright


# ---- a pool without a size
open_pool(connect)  # bad

# ---- both a policy and a size
open_pool(connect, PoolPolicy(size=3), size=3)  # bad

# ---- a size as text
open_pool(connect, size="3")  # bad

# ---- a policy without a size
PoolPolicy(max_idle=60.0)  # bad

# ---- a setting, misspelt
PoolPolicy(size=3, max_idel=60.0)  # bad

# ---- a setting without its keyword
PoolPolicy(3)  # bad

# ---- a policy of something else
open_pool(connect, BulkheadPolicy(limit=3))  # bad


# ---- the object instead of its factory
async def made() -> None:
    open_pool(await connect(), size=3)  # bad


# ---- a call instead of the factory
open_pool(connect(), size=3)  # bad

# ---- a factory that is not async
open_pool(connect_now, size=3)  # bad


# ---- a factory that wants arguments
async def connect_to(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path)


open_pool(connect_to, size=3)  # bad

# ---- closed as if it were of another class
open_pool(connect, size=3, close=Session.aclose)  # bad


# ---- checked by something that does not say yes or no
def check(conn: sqlite3.Connection) -> str:
    return "yes"


open_pool(connect, size=3, validate=check)  # bad


# ---- checked by something that has to be awaited
async def ping(conn: sqlite3.Connection) -> bool:
    return True


open_pool(connect, size=3, validate=ping)  # bad


# ---- judged without looking at the error
def reusable(conn: sqlite3.Connection) -> bool:
    return True


open_pool(connect, size=3, reusable=reusable)  # bad

# ---- a bulkhead without a limit
Bulkhead("db")  # bad

# ---- a limit without its keyword
Bulkhead("db", 3)  # bad

# ---- a limit as text
Bulkhead("db", limit="3")  # bad

# ---- a bulkhead's option, misspelt
Bulkhead("db", limt=3)  # bad

# ---- both a limit and a policy
Bulkhead("db", BulkheadPolicy(limit=3), limit=3)  # bad

# ---- a setting that is the policy's
Bulkhead("db", limit=3, max_wait=2.0)  # bad


# ---- a bulkhead entered without async
async def bulkhead_sync(bulkhead: Bulkhead) -> None:
    with bulkhead:  # bad
        pass


# ---- a bulkhead not to be waited for, with async
async def bulkhead_nowait(bulkhead: Bulkhead) -> None:
    async with bulkhead.enter_nowait():  # bad
        pass


# ---- a call with an argument too few
async def called(bulkhead: Bulkhead) -> None:
    await bulkhead.call(total, 3)  # bad


# ---- a call with a keyword
async def called_by_name(bulkhead: Bulkhead) -> None:
    await bulkhead.call(total, 3, amount=1.5)  # bad


# ---- the result of a call is that of the function
async def result(bulkhead: Bulkhead) -> str:
    return await bulkhead.call(total, 3, 1.5)  # bad


# ---- a policy does not change
def changed(bulkhead: Bulkhead) -> None:
    bulkhead.policy.limit = 4  # bad
