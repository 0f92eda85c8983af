"""Promises of the sliding window that chance seldom puts to the test: where its log has a seam."""

from __future__ import annotations

import pytest

from agentflow_trio.robustness._window_core import NEVER_FULL, Edge, Window


def test_a_lower_limit_refuses_ones_until_enough_has_expired() -> None:
    window = Window(3, 1.0)
    assert [window.admit(1, now) for now in (0.0, 0.25, 0.5)] == [True] * 3
    window.set_limit(1, 0.5, 0)
    assert window.ready_at(1) == 1.5
    assert not window.admit(1, 1.25)
    assert window.admit(1, 1.5)
    assert not window.admit(1, 1.5)


def test_a_higher_limit_makes_room_at_once() -> None:
    window = Window(1, 1.0)
    assert window.admit(1, 0.0)
    window.set_limit(3, 0.0, 0)
    assert window.ready_at(2) == NEVER_FULL
    assert window.admit(2, 0.0)
    assert not window.admit(1, 0.5)


@pytest.mark.parametrize("block_size", [1, 2, 3, 8])
def test_the_first_weight_after_ones(block_size: int) -> None:
    """Weights are kept from the first on: in a new block, while the head may be at the end of the old one."""
    window = Window(2, 1.0, block_size=block_size)
    for now in (0.0, 0.0, 1.0, 1.0, 2.0):
        assert window.admit(1, now)
    assert window.admit(2, 3.0)
    assert window.ready_at(1) == 4.0
    assert not window.admit(1, 3.5)
    assert window.free(3.5) == 0
    assert window.admit(1, 4.0)
    assert window.admit(1, 4.0)
    assert window.free(4.5) == 0
    assert window.free(5.0) == 2
    assert window.admitted == 9


@pytest.mark.parametrize("block_size", [1, 2, 3, 8])
def test_all_has_expired_when_the_first_weight_comes(block_size: int) -> None:
    window = Window(2, 1.0, block_size=block_size)
    assert window.admit(1, 0.0)
    assert window.admit(1, 0.0)
    assert window.admit(2, 5.0)
    window.set_limit(4, 5.0, 0)
    assert window.admit(2, 5.5)
    assert [window.ready_at(weight) for weight in (1, 2, 3, 4)] == [6.0, 6.0, 6.5, 6.5]


def test_a_fork_goes_on_in_ones_or_in_weights_as_its_original() -> None:
    ones = Window(2, 1.0, block_size=2)
    assert ones.admit(1, 0.0)
    weights = Window(4, 1.0, block_size=2)
    assert weights.admit(2, 0.0)
    for original in (ones, weights):
        twin = original.fork()
        for _ in range(2):
            assert twin.admit(1, 0.5) == original.admit(1, 0.5)
        assert twin.admitted == original.admitted
        assert twin.ready_at(2) == original.ready_at(2)
        assert twin.free(1.0) == original.free(1.0)


def test_many_blocks_that_expired_make_room_for_one_weight() -> None:
    window = Window(100, 1.0, block_size=4)
    for step in range(100):
        assert window.admit(1, step / 128)
    assert window.ready_at(50) == 1.0 + 49 / 128
    assert not window.admit(50, 1.0 + 48 / 128)
    assert window.admit(50, 1.0 + 49 / 128)
    assert window.ready_at(50) == 1.0 + 99 / 128
    assert window.free(1.5) == 15
    assert window.free(2.0) == 50
    assert window.free(3.0) == 100


def test_a_fork_lets_go_of_what_expired_as_soon_as_its_original() -> None:
    original = Window(5, 1.0, block_size=4)
    twin = original.fork()
    for second in range(100):
        assert twin.admit(1, float(second))
    assert sum(len(block.expiries) for block in twin._blocks) < 3 * 4


@pytest.mark.parametrize("edge", ["open", "closed"])
def test_ones_are_kept_in_eight_bytes_each_in_full_blocks(edge: Edge) -> None:
    window = Window(10, 1.0, edge, block_size=4)
    assert all(window.admit(1, 0.0) for _ in range(10))
    assert [len(block.expiries) for block in window._blocks] == [4, 4, 2]
    assert [block.sums for block in window._blocks] == [None, None, None]


def test_weights_are_kept_in_full_blocks() -> None:
    window = Window(20, 1.0, block_size=4)
    assert all(window.admit(2, 0.0) for _ in range(10))
    assert [len(block.expiries) for block in window._blocks] == [4, 4, 2]
