"""What a step may know, attribute by attribute."""

from __future__ import annotations

from random import Random
from typing import assert_type

from attrs import define

from agentflow_trio import END, StepContext, Wiring, current_step, flow, step


@define
class Seen:
    lines: tuple[str, ...] = ()
    rolled: int = 0


@step
async def look(seen: Seen) -> None:
    here = current_step()
    assert_type(here, StepContext)
    assert_type(here.run_id, str)
    assert_type(here.path, str)
    assert_type(here.visit, int)
    assert_type(here.attempt, int)
    assert_type(here.deadline, float)
    assert_type(here.random, Random)
    assert_type(here.now(), float)
    assert_type(here.caught, BaseException | None)
    assert_type(here.idempotency_key, str)
    here.report(0.5)
    seen.lines = (here.run_id, here.path, here.idempotency_key)
    seen.rolled = here.random.randint(1, 6)


@flow
def looking() -> Wiring[Seen]:
    return [look.then(END)]


async def main() -> None:
    result = await looking.run(Seen(), run_id="r", seed=7)
    assert result.state.lines == ("r", "looking/look", "r/looking/look")
    assert result.state.rolled == (await looking.run(Seen(), seed=7)).state.rolled
