"""What the tests of the circuit breaker share: a failing body, and breakers that open quickly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from agentflow_trio.errors import (
    CircuitOpenError,
)
from agentflow_trio.robustness._breaker import CircuitBreaker
from agentflow_trio.robustness._breaker_states_core import BreakerState
from agentflow_trio.robustness._circuit_policy import CircuitPolicy
from agentflow_trio.robustness._events import (
    GuardEvent,
)

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class DownError(Exception):
    """The service is down."""


async def fail(breaker: CircuitBreaker, often: int = 1) -> None:
    for _ in range(often):
        with pytest.raises(DownError):
            async with breaker:
                raise DownError


async def succeed(breaker: CircuitBreaker) -> None:
    async with breaker:
        await trio.lowlevel.checkpoint()


async def refused(breaker: CircuitBreaker) -> CircuitOpenError:
    with pytest.raises(CircuitOpenError) as caught:
        async with breaker:
            pytest.fail("the body ran")
    return caught.value


def quick(
    *, on_event: Callable[[GuardEvent], object] | None = None, **settings: Any
) -> CircuitBreaker:
    """Opens at the first failure, for 30 s."""
    return CircuitBreaker(
        "db", CircuitPolicy(**{"failure_threshold": 1, **settings}), on_event=on_event
    )


def state_of(breaker: CircuitBreaker) -> BreakerState:
    return breaker.statistics().state


async def hang_in(breaker: CircuitBreaker) -> None:
    async with breaker:
        await trio.sleep_forever()
