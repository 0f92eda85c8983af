"""A rate limiter cancelled at each of its scheduler steps in turn: nothing is consumed, nobody lost, nothing left."""

from __future__ import annotations

import functools
from typing import TypeAlias

import attrs
import pytest
import trio

from agentflow_trio.robustness._limiter import RateLimiter
from agentflow_trio.robustness._limiter_core import RateLimiterStatistics
from agentflow_trio.robustness._limiter_policy import TokenBucketPolicy, WindowPolicy
from agentflow_trio.testing import (
    Cut,
    assert_no_leaks,
    cancel_everywhere,
    cancel_with,
    simulate,
)

POLICIES = [
    WindowPolicy(limit=2, window=1.0),
    WindowPolicy(limit=2, window=1.0, edge="closed"),
    TokenBucketPolicy(limit=2, window=1.0),
]


@attrs.define
class Scene:
    """Seven come, one after the other; some are heavy."""

    limiter: RateLimiter
    begun: list[tuple[int, float]] = attrs.field(factory=list[tuple[int, float]])
    weights: tuple[int, ...] = (1, 1, 2, 1, 1, 2, 1)

    async def enter(self, number: int) -> None:
        async with self.limiter.weighing(self.weights[number]):
            self.begun.append((number, trio.current_time()))

    @property
    def admitted(self) -> int:
        return sum(self.weights[number] for number, _ in self.begun)


@pytest.mark.parametrize("policy", POLICIES, ids=["open", "closed", "bucket"])
def test_all_are_cancelled_at_any_step(policy: WindowPolicy | TokenBucketPolicy) -> None:
    ended: list[tuple[Scene, RateLimiterStatistics]] = []

    async def program() -> None:
        scene = Scene(RateLimiter("x", policy))
        try:
            with assert_no_leaks(scene.limiter):
                async with trio.open_nursery() as nursery:
                    for number in range(7):
                        nursery.start_soon(scene.enter, number)
                        await trio.sleep(0.125)
        finally:
            ended.append((scene, scene.limiter.statistics()))

    def check(cut: Cut[None]) -> None:
        scene, told = ended[-1]
        assert (told.waiting, told.waiting_weight) == (0, 0)
        # Whoever was admitted may have been cancelled before its body could say so.
        assert told.admitted - scene.admitted in {0, 1, 2}
        assert [number for number, _ in scene.begun] == list(range(len(scene.begun)))
        if not cut.reached:
            assert len(scene.begun) == 7
            assert told.admitted == scene.admitted

    assert cancel_everywhere(program, check=check) > 20


Begun: TypeAlias = list[tuple[int, float]]


@pytest.mark.parametrize("who", range(7))
@pytest.mark.parametrize("policy", [POLICIES[0], POLICIES[2]], ids=["open", "bucket"])
def test_one_is_cancelled_at_any_step(
    policy: WindowPolicy | TokenBucketPolicy, who: int
) -> None:
    """The others begin as if it had never come, if it took nothing; if it did, as if nothing had happened."""

    async def seven(*, without: int | None = None) -> tuple[Begun, int]:
        scene, scope = Scene(RateLimiter("x", policy), weights=(1,) * 7), trio.CancelScope()
        cancel_with(scope.cancel)

        async def enter(number: int) -> None:
            with scope if number == who else trio.CancelScope():
                await scene.enter(number)

        with assert_no_leaks(scene.limiter):
            async with trio.open_nursery() as nursery:
                for number in range(7):
                    if number != without:
                        nursery.start_soon(enter, number)
                    await trio.sleep(0.125)
        return scene.begun, scene.limiter.statistics().admitted

    with simulate(seven) as undisturbed:
        undisturbed.run()
    with_it, _ = undisturbed.result
    with simulate(functools.partial(seven, without=who)) as alone:
        alone.run()
    without_it, _ = alone.result
    seen: set[str] = set()

    def check(cut: Cut[tuple[Begun, int]]) -> None:
        if cut.result is None:
            assert cut.step == 0  # before anything could be said
            return
        begun, admitted = cut.result
        if len(begun) == 7:
            seen.add("served")
            assert begun == with_it
        elif admitted == 7:
            seen.add("served, and cancelled before it knew")
            assert begun == [(n, at) for n, at in with_it if n != who]
        else:
            seen.add("cancelled")
            assert begun == without_it

    assert cancel_everywhere(seven, check=check) > 20
    assert {"served", "cancelled"} <= seen


def test_the_limit_is_lowered_at_any_step() -> None:
    async def program() -> Begun:
        scene = Scene(RateLimiter("x", limit=2, window=1.0), weights=(1,) * 7)
        cancel_with(lambda: scene.limiter.set_limit(1))
        with assert_no_leaks(scene.limiter):
            async with trio.open_nursery() as nursery:
                for number in range(7):
                    nursery.start_soon(scene.enter, number)
                    await trio.sleep(0.125)
        return scene.begun

    def check(cut: Cut[Begun]) -> None:
        if cut.result is None:
            assert cut.step == 0  # before anything could be said
            return
        assert [number for number, _ in cut.result] == list(range(7))

    assert cancel_everywhere(program, check=check) > 20
