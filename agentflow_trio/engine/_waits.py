"""What a task waits for, in words, read from the frames it is suspended in.

Layer: engine. Rules: nothing is recorded while things run; what is read by name are parameters of public functions,
and our own variables. What is not known is called as the node's code calls it: ``Event.wait``, ``AsyncClient.get``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Final, NamedTuple

from ._frames import Stack, is_ours, is_trios, name_of, place, theirs
from ._threads import Hop

__all__ = ["Wait", "wait_of"]


_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Where a word ends: ``Rate|Limiter``, ``TTL|Cache``."""


class Wait(NamedTuple):
    """What is waited for, and the innermost line of the node's own code."""

    words: str
    at: str | None


def wait_of(stack: Stack, now: float, *, running: bool) -> Wait:
    """What the task waits for whose frames are *stack*, or those of them that belong to one run."""
    own = theirs(stack)
    at = None if own is None else place(*stack[own])
    if running:
        return Wait("", at)
    below = [frame for frame, _ in (stack if own is None else stack[own + 1 :])]
    return Wait(_words(below, now), at)


def _words(below: list[FrameType], now: float) -> str:
    """The first of the functions below the node's line, outermost first, that says something."""
    for index, frame in enumerate(below):
        code = frame.f_code
        if is_ours(code):
            said = _ours(frame)
        elif is_trios(code):
            said = _trios(below[index:], now)
        else:
            said = _called(frame)
        if said is not None:
            return said
    return "something that its code awaits"


def _called(frame: FrameType) -> str:
    """``Event.wait``, by the class of the object, which may have inherited it; of ``async with limiter:`` the class alone."""
    code, owner = frame.f_code, frame.f_locals.get("self")
    if owner is None:
        return code.co_qualname
    kind = type(owner).__qualname__
    return kind if code.co_name.startswith("__") else f"{kind}.{code.co_name}"


# ---------------------------------------------------------------- Trio's


def _trios(frames: list[FrameType], now: float) -> str:
    name = frames[0].f_code.co_qualname
    match name:
        case "sleep" | "sleep_until" | "sleep_forever" | "sleep_at":
            return _sleep(frames, now)
        case "to_thread_run_sync":
            said = name_of(frames[0].f_locals.get("sync_fn"))
            in_line = [frame.f_code.co_name for frame in frames[1:2]] == [
                "acquire_on_behalf_of"
            ]
            return f"a free thread, for {said}" if in_line else f"a thread: {said}"
        case "CapacityLimiter.acquire_on_behalf_of":
            hop = frames[0].f_locals.get("borrower")
            return (
                f"a free thread, for {hop.function}"
                if isinstance(hop, Hop)
                else _called(frames[0])
            )
        case "checkpoint" | "cancel_shielded_checkpoint" | "checkpoint_if_cancelled":
            return "its turn"
        case "Nursery._nested_child_finished" | "NurseryManager.__aexit__":
            return "its tasks"
        case _:
            return _called(frames[0])


def _sleep(frames: list[FrameType], now: float) -> str:
    for frame in frames:
        deadline = frame.f_locals.get("deadline")  # of `trio.sleep_until`, which others call
        if frame.f_code.co_name == "sleep_until" and isinstance(deadline, float | int):
            return f"a sleep, {round(max(0.0, deadline - now), 1):g} s more"
    return "a sleep without end"


# ---------------------------------------------------------------- ours


def _ours(frame: FrameType) -> str | None:
    module = str(frame.f_globals.get("__name__", ""))
    if ".robustness." in module:
        return _guard(frame)
    say = _SAID.get(frame.f_code.co_qualname)
    return None if say is None else say(frame.f_locals)


def _guard(frame: FrameType) -> str | None:
    """``rate limiter 'llm'``: the class in words and its name."""
    guard = frame.f_locals.get("self")
    name = getattr(guard, "name", None)
    if not isinstance(name, str):
        return None
    words = _WORDS.sub(" ", type(guard).__name__).lower()
    return f"{words} {name!r}"


def _run(variables: Mapping[str, object]) -> str:
    return f"run {getattr(variables.get('self'), 'run_id', '')}".rstrip()


def _stream(variables: Mapping[str, object]) -> str:
    return f"readers of stream {getattr(variables.get('stream'), 'name', '')!r}"


def _cleanup(variables: Mapping[str, object]) -> str:
    return f"cleanup {getattr(variables.get('cleanup'), 'what', '')}".rstrip()


_SAID: Final[Mapping[str, Callable[[Mapping[str, object]], str]]] = {
    "Crowd.run": lambda _: "its tasks",
    "Execution.wait": _run,
    "Execution.leave": _run,
    "Execution._abandon": _run,
    "Engine._all_ended": lambda _: "the runs of an engine",
    "Streams.put": _stream,
    "Bus.keep_pace": lambda _: "slow readers of its events",
    "Window.enter": lambda _: "earlier items, to be folded first",
    "Processes.call": lambda variables: f"a process: {name_of(variables.get('fn'))}",
    "Pulled.pull": lambda _: "the source of the items",
    "_shielded": _cleanup,
}
"""Our functions that wait, and what for. A test calls each of them."""
