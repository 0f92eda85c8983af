"""A flow is a node: it nests to any depth, with policies of its own at every place."""

from __future__ import annotations

from typing import Any, assert_type

from attrs import define

from agentflow_trio import END, Flow, Next, Step, Wiring, flow, step


@define
class Tally:
    count: int = 0


@step
async def add(tally: Tally) -> None:
    tally.count += 1


@flow
def one() -> Wiring[Tally]:
    return [add.then(END)]


first = Step(one, timeout=3.0)
second = first.with_(name="again")


@flow
def two(*, done: Next) -> Wiring[Tally]:
    return [first.then(second), second.then(done)]


pair = Step(two, name="pair")


@flow
def three() -> Wiring[Tally]:
    return [add.then(pair), pair.to(done=END)]


async def main() -> None:
    assert_type(first, Step[Tally, []])
    assert_type(first.flow, Flow[Any, ...] | None)
    assert first.flow is one
    assert add.flow is None
    assert_type(three, Flow[Tally, []])
    result = await three.run(Tally())
    assert result.state.count == 3
    assert result.tail[-1] == "three/pair/again/add"
