"""A hedge: one outcome, whichever attempt it comes from, and no attempt left over."""

from __future__ import annotations

import contextlib
import gc
import weakref

import pytest
import trio

from agentflow_trio import Hedge


async def test_a_slow_attempt_is_overtaken(autojump_clock: trio.testing.MockClock) -> None:
    hedge = Hedge(after=0.25)

    async def work(number: int) -> int:
        await trio.sleep((4.0, 0.5)[number - 1])
        return number

    assert await hedge.attempts(work) == 2
    assert trio.current_time() == 0.75


async def test_an_interrupt_of_the_only_attempt_passes_as_it_is() -> None:
    stop = KeyboardInterrupt()

    async def work(_: int) -> int:
        raise stop

    with pytest.raises(KeyboardInterrupt) as caught:
        await Hedge(after=1.0).attempts(work)
    assert caught.value is stop


async def test_what_attempts_raised_is_kept_by_nobody(autojump_clock: object) -> None:
    class DroppedError(Exception): ...

    kept = list[weakref.ref[DroppedError]]()

    def made() -> DroppedError:
        error = DroppedError()
        kept.append(weakref.ref(error))
        return error

    async def work(_: int) -> int:
        raise made()

    async def swallow() -> None:
        with contextlib.suppress(DroppedError):
            await Hedge(after=1.0).attempts(work)

    gc.collect()
    gc.disable()
    try:
        await swallow()
        assert [one() for one in kept] == [None, None]
    finally:
        gc.enable()
