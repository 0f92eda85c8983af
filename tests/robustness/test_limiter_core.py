"""Promises of the line before a meter that chance seldom puts to the test: what is foretold after clocks were late."""

from __future__ import annotations

import math

from agentflow_trio.robustness._limiter_core import LimiterCore, Waiter
from agentflow_trio.robustness._window_core import Window


def test_what_is_foretold_is_right_again_when_as_many_were_late_as_waited_at_first() -> None:
    core: LimiterCore[Waiter] = LimiterCore(Window(1, 1.0))
    assert core.admit(1, 0.0)
    first, second, third = [Waiter(1, 0.0, latest) for latest in (math.inf, 9.0, math.inf)]
    for waiter in (
        first,
        second,
        third,
    ):  # the second wants to know: from now on there is a forecast
        assert core.join(waiter, 0.0) is None
    assert core.serve(first, 1.5) <= 1.5
    assert core.serve(second, 2.75) <= 2.75
    assert core.due(1, 2.75) == 4.75
