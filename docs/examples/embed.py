"""A flow in somebody's Trio program: in their task, within their time, progress as it happens."""

from __future__ import annotations

import trio
from attrs import define

from agentflow_trio import END, Engine, Wiring, current_step, flow, step
from agentflow_trio.events import Progress


@define
class Order:
    cups: int


@step
async def pour(order: Order) -> None:
    for cup in range(1, order.cups + 1):
        await trio.sleep(0.1)
        current_step().report(cup / order.cups, f"cup {cup} of {order.cups}")


@flow
def serving() -> Wiring[Order]:
    return [pour.then(END)]


async def main() -> None:
    with trio.move_on_after(10):
        async with Engine() as engine, engine.start(serving, Order(cups=3)) as run:
            async for event in run.events():
                if isinstance(event, Progress):
                    print(f"{event.path} {event.fraction:4.0%} {event.text}")
            print("served in", round((await run.result()).duration, 1), "s")


if __name__ == "__main__":
    trio.run(main)
