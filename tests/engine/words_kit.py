"""A state of words, steps that add one after some time, and rows of them: what tests of ending things share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import trio

from agentflow_trio import END, Flow, Step, Wiring, added, flow, merged_by, step


@attrs.define
class Words:
    """A state that branches may add to at once; ``got`` is what post got, where a node keeps it."""

    words: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))
    got: Any = None


Act = Callable[[], Awaitable[object]]


def doing(name: str, act: Act) -> Step[Words, []]:
    @step(name=name)
    async def does(words: Words) -> None:
        await act()
        words.words += (name,)

    return does


def lasting(name: str, seconds: float) -> Step[Words, []]:
    return doing(name, partial(trio.sleep, seconds))


def row(*steps: Step[Words, []], name: str = "f") -> Flow[Words, []]:
    @flow(name=name)
    def made() -> Wiring[Words]:
        return [one.then(after) for one, after in zip(steps, [*steps[1:], END], strict=True)]

    return made
