"""A rate limiter cancelled at each of its scheduler steps in turn: nothing is consumed, nobody lost, nothing left."""

from __future__ import annotations

import attrs
import pytest
import trio
from cancel_everywhere import Interrupt, Interrupted, interrupted_everywhere
from trio.testing import MockClock

from agentflow_trio.robustness._limiter import RateLimiter
from agentflow_trio.robustness._limiter_policy import TokenBucketPolicy, WindowPolicy

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
async def test_all_are_cancelled_at_any_step(
    policy: WindowPolicy | TokenBucketPolicy, autojump_clock: MockClock
) -> None:
    scene = Scene(RateLimiter("x", policy))

    async def body(interrupt: Interrupt) -> None:
        scene.limiter = RateLimiter("x", policy)
        scene.begun.clear()
        async with trio.open_nursery() as nursery:
            for number in range(7):
                nursery.start_soon(scene.enter, number)
                await trio.sleep(0.125)

    def check(ended: Interrupted) -> None:
        assert not ended.left
        found = scene.limiter.statistics()
        assert (found.waiting, found.waiting_weight) == (0, 0)
        # Whoever was admitted may have been cancelled before its body could say so.
        assert found.admitted - scene.admitted in {0, 1, 2}
        assert [number for number, _ in scene.begun] == list(range(len(scene.begun)))
        if not ended.fired:
            assert len(scene.begun) == 7
            assert found.admitted == scene.admitted

    assert await interrupted_everywhere(body, check) > 20


@pytest.mark.parametrize("who", range(7))
@pytest.mark.parametrize("policy", [POLICIES[0], POLICIES[2]], ids=["open", "bucket"])
async def test_one_is_cancelled_at_any_step(
    policy: WindowPolicy | TokenBucketPolicy, who: int, autojump_clock: MockClock
) -> None:
    """The others begin as if it had never come, if it took nothing; if it did, as if nothing had happened."""

    async def body(interrupt: Interrupt | None, *, without: bool = False) -> Scene:
        scene = Scene(RateLimiter("x", policy), weights=(1,) * 7)
        scope = trio.CancelScope()
        if interrupt is not None:
            interrupt.act = scope.cancel

        async def enter(number: int) -> None:
            with scope if number == who else trio.CancelScope():
                await scene.enter(number)

        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(7):
                if number != who or not without:
                    nursery.start_soon(enter, number)
                await trio.sleep(0.125)
        scene.begun = [(number, at - start) for number, at in scene.begun]
        assert scene.limiter.statistics().waiting == 0
        return scene

    with_it = (await body(None)).begun
    without_it = (await body(None, without=True)).begun
    seen: set[str] = set()

    def check(ended: Interrupted) -> None:
        assert not ended.left
        assert not ended.cancelled
        assert ended.outcome is not None
        scene = ended.outcome.unwrap()
        assert isinstance(scene, Scene)
        if len(scene.begun) == 7:
            seen.add("served")
            assert scene.begun == with_it
        elif scene.limiter.statistics().admitted == 7:
            seen.add("served, and cancelled before it knew")
            assert scene.begun == [(n, at) for n, at in with_it if n != who]
        else:
            seen.add("cancelled")
            assert scene.begun == without_it

    assert await interrupted_everywhere(body, check) > 20
    assert {"served", "cancelled"} <= seen


async def test_the_limit_is_lowered_at_any_step(autojump_clock: MockClock) -> None:
    async def body(interrupt: Interrupt) -> Scene:
        scene = Scene(RateLimiter("x", limit=2, window=1.0), weights=(1,) * 7)
        interrupt.act = lambda: scene.limiter.set_limit(1)
        async with trio.open_nursery() as nursery:
            for number in range(7):
                nursery.start_soon(scene.enter, number)
                await trio.sleep(0.125)
        return scene

    def check(ended: Interrupted) -> None:
        assert not ended.left
        assert ended.outcome is not None
        scene = ended.outcome.unwrap()
        assert isinstance(scene, Scene)
        assert [number for number, _ in scene.begun] == list(range(7))
        assert scene.limiter.statistics().waiting == 0

    assert await interrupted_everywhere(body, check) > 20
