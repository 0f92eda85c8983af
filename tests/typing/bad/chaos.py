"""Chaos: its settings, who can be entered, and what callers get."""
# ruff: noqa: ASYNC910 - some of what is wrong here, ruff sees too

from __future__ import annotations

from agentflow_trio import Chaos, ChaosOutcome, ChaosPolicy, Drill, Fallback

policy = ChaosPolicy(rate=0.5, errors=OSError)
chaos = Chaos("model", policy)
garbled = ChaosOutcome("garbled", "?", ChaosPolicy(rate=0.5))
sorry = Fallback("sorry")


async def fetch(url: str, depth: int) -> bytes:
    return f"{url}{depth}".encode()


# ---- chaos without a policy
Chaos("model")  # bad


# ---- a policy without a rate
ChaosPolicy(latency=1.0)  # bad


# ---- an error that exists already
ChaosPolicy(rate=0.5, errors=OSError())  # bad


# ---- an error that is no Exception
ChaosPolicy(rate=0.5, errors=(OSError, KeyboardInterrupt))  # bad


# ---- an outcome that is entered
async def entered() -> None:
    async with garbled:  # bad
        pass


# ---- an outcome whose caller expects the body's type
async def outcome_type() -> bytes:
    return await garbled.call(fetch, "x", 3)  # bad


# ---- a fallback whose caller expects the body's type
async def fallback_type() -> bytes:
    return await sorry.call(fetch, "x", 3)  # bad


# ---- fallback.call with an argument missing
async def argument_missing() -> None:
    await sorry.call(fetch, "x")  # bad


# ---- a fallback above a function that is not async
@sorry  # bad
def plain(url: str) -> str:
    return url


# ---- chaos turned on by a name
chaos.enable("model")  # bad


# ---- a drill of names without rates
Drill(["model"])  # bad
