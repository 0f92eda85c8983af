"""Simulating a target: searching its schedules, or running the one of a seed or of a code; and drawing that.

Layer: cli.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO, final

import attrs
from typing_extensions import TypeIs

from ..testing import (
    ControlError,
    Faults,
    Policy,
    ReplayCodeError,
    ScheduleFailure,
    Timeline,
    UnusedFaultError,
    explore,
    record,
)
from ._exit import UsageError
from ._loading import shown as short
from ._loading import user_frames
from ._programs import is_flow

__all__ = ["Asked", "Found", "search", "single"]

_PLACES: Final = 5


@final
@attrs.frozen(kw_only=True)
class Asked:
    """What is to be simulated.

    Attributes:
        subject: an async function, or a flow and its state.
        words: what was typed, but for what is searched.
        check: looks at what came of it.
        faults: what fails besides.
        services: tasks that tick for ever.
        max_steps: steps after which it counts as stuck.
    """

    subject: tuple[Any, ...]
    words: Sequence[str]
    check: Callable[[Any], object] | None
    faults: Faults | None
    services: Sequence[str]
    max_steps: int

    @property
    def settings(self) -> Mapping[str, Any]:
        """As `record` and `explore` take them."""
        return {"faults": self.faults, "services": self.services, "max_steps": self.max_steps}


@final
@attrs.frozen(kw_only=True)
class Found:
    """What a simulation came to.

    Attributes:
        told: in words.
        data: the same for ``--json``; with an ``error`` if it failed.
        timeline: makes the run that is to be drawn.
    """

    told: str
    data: Mapping[str, Any]
    timeline: Callable[[], Timeline[Any]]


def search(
    asked: Asked, *, seeds: int, policy: Policy, replay: str | None, progress: TextIO | None
) -> Found:
    """Search *seeds* schedules, or run the one that *replay* stands for; *progress* is a terminal.

    Raises:
        UsageError: a fault was never met, or the code is none.
    """
    with _counting(seeds, asked.check, progress) as check, _understood():
        found = explore(
            *asked.subject,
            seeds=seeds,
            policy=policy,
            check=check,
            replay=replay,
            **asked.settings,
        )
    data = {"policy": found.policy, "schedules": found.seeds, "steps": found.steps}
    if not found.failures:
        run = functools.partial(_recorded, asked, replay=replay)
        return Found(told=str(found), data=data, timeline=run)
    failure = found.failures[0]
    command = shlex.join(["agentflow", "simulate", *asked.words, "--replay", failure.code])
    failure = attrs.evolve(failure, command=command)
    told = str(attrs.evolve(found, failures=(failure,)))
    return Found(
        told="\n".join([told, *_places(failure.error)]),
        data={**data, "error": _as_data(failure)},
        timeline=functools.partial(_recorded, asked, replay=failure.code),
    )


def single(asked: Asked, seed: int) -> Found:
    """Run what *seed* makes of it, without a search.

    Raises:
        UsageError: a fault was never met.
    """
    timeline = _recorded(asked, seed=seed)
    error, time = timeline.error, f"{timeline.duration:.9g} s of virtual time"
    if error is None and asked.check is not None and _is_flow(asked):
        error = _said(asked.check, timeline.result)
    data: Mapping[str, Any] = {"seed": seed, "duration": timeline.duration}
    if error is None:
        told = f"seed {seed}: ended well after {time}"
        return Found(told=told, data=data, timeline=lambda: timeline)
    lines = [f"seed {seed}: fails after {time}", _named(error), *_places(error)]
    data = {**data, "error": {"type": type(error).__name__, "message": str(error)}}
    return Found(told="\n".join(lines), data=data, timeline=lambda: timeline)


# ---------------------------------------------------------------- running


def _recorded(asked: Asked, *, seed: int = 0, replay: str | None = None) -> Timeline[Any]:
    subject = asked.subject
    if asked.check is not None and not _is_flow(asked):
        subject = (_with_check(subject[0], asked.check),)
    with _understood():
        timeline: Timeline[Any] = record(*subject, seed=seed, replay=replay, **asked.settings)
    return timeline


def _is_flow(asked: Asked) -> bool:
    return is_flow(asked.subject[0])


def _with_check(
    program: Callable[..., Awaitable[Any]], check: Callable[[Any], object]
) -> Callable[..., Awaitable[Any]]:
    """*program*, and what it returns is checked in it, so that its run is seen to fail."""

    @functools.wraps(program)
    async def checked(*dice: Any) -> Any:  # noqa: ANN401 - the program's own
        result = await program(*dice)
        check(result)
        return result

    return checked


def _said(check: Callable[[Any], object], result: object) -> Exception | None:
    try:
        check(result)
    except Exception as error:  # noqa: BLE001 - whatever the check raises
        return error
    return None


@contextmanager
def _understood() -> Generator[None]:
    """Say what is wrong with what was typed, where only the simulator can tell."""
    try:
        yield
    except (ControlError, ReplayCodeError, TypeError, UnusedFaultError) as error:
        raise UsageError(problem=str(error)) from error


@contextmanager
def _counting(
    seeds: int, check: Callable[[Any], object] | None, progress: TextIO | None
) -> Generator[Callable[[Any], object]]:
    """Call *check* for every schedule that ends, and say on a terminal how many there were."""
    count, every = 0, max(1, seeds // 100)

    def counted(result: object) -> None:
        nonlocal count
        count += 1
        if progress is not None and count % every == 0:
            progress.write(f"\r{count:,} of {seeds:,} schedules")
            progress.flush()
        if check is not None:
            check(result)

    try:
        yield counted
    finally:
        if progress is not None:
            progress.write("\r\x1b[K")
            progress.flush()


# ---------------------------------------------------------------- telling


def _as_data(failure: ScheduleFailure) -> Mapping[str, Any]:
    told = {
        name: getattr(failure, name)
        for name in ("code", "command", "seed", "policy", "tries", "deviations", "confirmed")
    }
    error = failure.error
    return {"type": type(error).__name__, "message": str(error), **told}


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _places(error: BaseException) -> Iterator[str]:
    """Where the user's own code raised it; of a group, its first error."""
    while _is_group(error):
        error = error.exceptions[0]
    for frame in user_frames(error)[-_PLACES:]:
        yield f"  {short(frame.filename)}:{frame.lineno}, in {frame.name}"
        yield f"      {frame.line}"


def _is_group(error: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
