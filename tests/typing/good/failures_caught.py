"""A failed run raises a group whose leaves are what the nodes raised, so except* works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from attrs import define

from agentflow_trio import (
    END,
    DeadlineExceededError,
    Failure,
    FlowFailedError,
    Wiring,
    flow,
    step,
)


@define
class Order:
    number: int
    charged: bool = False


class RefusedError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@step
async def begin(order: Order) -> None:
    order.charged = True


@step
async def charge(order: Order) -> None:
    raise RefusedError(f"order {order.number}")


@flow
def ordering() -> Wiring[Order]:
    return [begin.then(charge), charge.then(END)]


async def failure() -> FlowFailedError:
    try:
        await ordering.run(Order(3))
    except FlowFailedError as failed:
        return failed
    raise AssertionError("the run did not fail")


def look_at(failed: FlowFailedError) -> None:
    assert_type(failed.leaves(), Iterator[Exception])
    assert_type(failed.only(), Exception)
    assert_type(failed.report(), str)
    assert_type(failed.path, str)
    assert_type(failed.state, object)
    (leaf,) = failed.leaves()
    found = failed.find(leaf)
    assert_type(found, Failure | None)
    assert found is not None
    assert (found.path, found.phase, found.attempt) == ("ordering/charge", "exec", 1)
    assert failed.only() is leaf
    assert isinstance(failed.state, Order)
    assert failed.state.charged


async def leaves_only() -> list[str]:
    reasons: list[str] = []
    try:
        await ordering.run(Order(3))
    except* RefusedError as group:
        assert_type(group, ExceptionGroup[RefusedError])
        reasons.extend(
            error.reason for error in group.exceptions if isinstance(error, RefusedError)
        )
    except* DeadlineExceededError as group:
        assert_type(group, ExceptionGroup[DeadlineExceededError])
        raise
    return reasons


async def main() -> None:
    look_at(await failure())
    assert await leaves_only() == ["order 3"]
