""".catch routes an error like an exit; the target learns of it from current_step().caught."""

from __future__ import annotations

from typing import assert_type

from attrs import define

from agentflow_trio import END, Edge, Next, Wiring, current_step, flow, step


@define
class Order:
    number: int
    log: tuple[str, ...] = ()


class RefusedError(Exception): ...


@step
async def charge(order: Order) -> None:
    order.log += ("charged",)
    match order.number:
        case 1:
            raise RefusedError("no funds")
        case 2:
            raise TimeoutError("no answer")
        case _:
            pass


@step
async def apologise(order: Order) -> None:
    caught = current_step().caught
    assert_type(caught, BaseException | None)
    order.log += (f"sorry: {caught}",)


@flow
def ordering(*, paid: Next, unpaid: Next) -> Wiring[Order]:
    line = charge.then(paid).catch(RefusedError, to=apologise)
    assert_type(line, Edge[Order])
    return [line.catch(TimeoutError, ConnectionError, to=unpaid), apologise.then(unpaid)]


async def main() -> None:
    paid = await ordering.run(Order(0))
    assert (paid.exit, paid.state.log) == ("paid", ("charged",))
    refused = await ordering.run(Order(1))
    assert (refused.exit, refused.state.log) == ("unpaid", ("sorry: no funds",))
    silent = await ordering.run(Order(2))
    assert (silent.exit, silent.state.log) == ("unpaid", ())
    assert END.name == "end"
