"""An alert fires when its condition has held for long enough, and is resolved when it is beyond where it may be."""

from __future__ import annotations

from typing import Any, Final

import attrs
import pytest

from agentflow_trio.observe import AlertRule
from agentflow_trio.observe._alert_core import INACTIVE, AlertState, follow

RULE: Final = AlertRule("r", "a.error_count", 5.0, "log")
WAITS: Final = attrs.evolve(RULE, for_=10.0)


@pytest.mark.parametrize(
    ("op", "holding", "not_holding"),
    [
        (">", [5.1, float("inf")], [5.0, 4.9]),
        (">=", [5.0, 6.0], [4.9]),
        ("<", [4.9, 0.0, -1.0], [5.0, 6.0]),
        ("<=", [5.0, 4.0], [5.1]),
    ],
)
def test_it_fires_where_the_comparison_holds(
    op: Any, holding: list[float], not_holding: list[float]
) -> None:
    rule = attrs.evolve(RULE, op=op)
    firing = AlertState("firing", 7.0)
    for value in holding:
        assert follow(rule, INACTIVE, value, 7.0) == firing
        assert follow(rule, firing, value, 9.0) is firing
    for value in not_holding:
        assert follow(rule, INACTIVE, value, 7.0) == INACTIVE
        assert follow(rule, firing, value, 9.0) == INACTIVE


def test_it_is_pending_until_it_has_held_for_so_long() -> None:
    state = follow(WAITS, INACTIVE, 6.0, 100.0)
    assert state == AlertState("pending", 100.0)
    assert follow(WAITS, state, 6.0, 109.9) == AlertState("pending", 100.0)
    assert follow(WAITS, state, 6.0, 110.0) == AlertState("firing", 110.0)
    assert follow(WAITS, state, 6.0, 110.0 - 5e-7) == AlertState("firing", 110.0 - 5e-7)


def test_a_break_begins_the_wait_anew() -> None:
    pending = AlertState("pending", 100.0)
    assert follow(WAITS, pending, 5.0, 105.0) == INACTIVE
    assert follow(WAITS, pending, None, 105.0) == INACTIVE


@pytest.mark.parametrize("resolve", [None, 2.0])
def test_no_data_neither_fires_nor_keeps_firing(resolve: float | None) -> None:
    rule = attrs.evolve(RULE, resolve_below=resolve)
    assert follow(rule, INACTIVE, None, 1.0) == INACTIVE
    assert follow(rule, AlertState("firing", 1.0), None, 2.0) == INACTIVE


@pytest.mark.parametrize(
    ("op", "resolve", "stays", "goes"),
    [
        (">", 2.0, [6.0, 5.0, 3.0, 2.0], [1.9]),
        (">=", 2.0, [5.0, 2.0], [1.9]),
        ("<", 8.0, [4.0, 5.0, 8.0], [8.1]),
        ("<=", 8.0, [5.0, 8.0], [8.1]),
        (">", 5.0, [5.0], [4.9]),
    ],
)
def test_hysteresis_keeps_it_firing_until_it_is_beyond(
    op: Any, resolve: float, stays: list[float], goes: list[float]
) -> None:
    rule = attrs.evolve(RULE, op=op, resolve_below=resolve)
    firing = AlertState("firing", 1.0)
    for value in stays:
        assert follow(rule, firing, value, 2.0) is firing
    for value in goes:
        assert follow(rule, firing, value, 2.0) == INACTIVE


def test_hysteresis_does_not_make_it_fire() -> None:
    rule = attrs.evolve(RULE, resolve_below=2.0)
    assert follow(rule, INACTIVE, 3.0, 1.0) == INACTIVE
