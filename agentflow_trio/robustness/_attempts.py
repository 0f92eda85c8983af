"""The loop form of a retry: ``async for attempt in retry: async with attempt: ...``.

Layer: robustness. Rules: the wait is in the loop, not on leaving an attempt, which never waits; an error that is not
tried again leaves the ``async with`` directly, as cancellation does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Literal, TypeAlias, final

from trio.lowlevel import checkpoint_if_cancelled

from .._typing import override
from ..errors import GuardMisuseError
from ._retry_core import Again
from ._trial import RetryState, Trial

__all__ = ["Attempt", "Attempts"]

Stage: TypeAlias = Literal["new", "offered", "inside", "over"]


@final
class Attempt:
    """One try of the body: ``async with attempt:`` around it.

    Entering and leaving never wait. Leaving swallows the body's error only if the body will be tried again; the wait for
    that is in the loop. Statements below the ``async with`` run after a swallowed failure too: ask `failed` there, or
    write them into the body.

    Attributes:
        number: 1 for the first.
        failed: whether the body failed and will be tried again.
    """

    __slots__ = ("_attempts", "failed", "number")

    def __init__(self, attempts: Attempts, number: int) -> None:
        self._attempts = attempts
        self.number: int = number
        self.failed: bool = False

    async def __aenter__(self) -> Attempt:
        """Begin the body. Never yields."""
        attempts = self._attempts
        if attempts.stage != "offered" or attempts.number != self.number:
            raise attempts.misuse("each attempt is entered once, while it is the last one")
        attempts.stage = "inside"
        return self  # noqa: ASYNC910 - the loop was the checkpoint

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool:
        attempts = self._attempts
        attempts.stage = "over"
        if isinstance(error, Exception):
            self.failed = attempts.is_tried_again(error)
        elif error is None and attempts.trial is not None:
            attempts.trial.succeeded()
        return self.failed


@final
class Attempts(AsyncIterator[Attempt]):
    """The attempts of one body, until it succeeds or is given up. No async generator: those end at odd moments.

    Attributes:
        stage: "offered": an attempt was handed out; "inside": it runs; "over": it ended.
        number: of the attempt that was handed out last.
        trial: None until the body fails.
    """

    __slots__ = ("_begun", "_failure", "_state", "number", "stage", "trial")

    def __init__(self, state: RetryState) -> None:
        self.stage: Stage = "new"
        self.number: int = 1
        self.trial: Trial | None = None
        self._state = state
        self._begun = 0.0
        self._failure: tuple[Trial, Again, Exception] | None = None

    @override
    async def __anext__(self) -> Attempt:
        """The next attempt: the first at once, the others after their delay."""
        stage, self.stage = self.stage, "over"
        if stage == "new":
            await checkpoint_if_cancelled()
            self._begun = self._state.begin()
        elif self._failure is not None:
            await self._wait(*self._failure)
        elif stage == "over":
            raise StopAsyncIteration
        else:
            raise self.misuse("write 'async with attempt:' in the loop, around the body")
        self.stage = "offered"
        return Attempt(self, self.number)

    async def _wait(self, trial: Trial, again: Again, error: Exception) -> None:
        self._failure = None
        try:
            if not await trial.pause(again, error):
                if isinstance(
                    error, StopAsyncIteration
                ):  # here it would end the loop in silence
                    raise RuntimeError("the body raised StopAsyncIteration") from error
                raise error
        finally:
            del error  # its traceback holds this frame
        self.number = again.attempt

    def is_tried_again(self, error: Exception) -> bool:
        """Take note that the body failed with *error*, and return whether there will be another attempt."""
        trial = self.trial = self.trial or Trial(self._state, self._begun)
        again = trial.failed(error)
        if again is not None:
            self._failure = trial, again, error
        return again is not None

    def misuse(self, reason: str) -> GuardMisuseError:
        """The error of a loop that is written wrongly."""
        return GuardMisuseError(guard=self._state.name, reason=reason)
