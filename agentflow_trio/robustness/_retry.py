"""Retry: a body that is run again after it failed.

Layer: robustness. Rules: cancellation is no failure; the error that is raised in the end is the body's last one itself;
whatever form a retry is written in, it does the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Never, TypeVar, TypeVarTuple, final

from trio.lowlevel import checkpoint_if_cancelled

from .._typing import override
from ._attempts import Attempt, Attempts
from ._bounds import named
from ._events import OnEvent
from ._fault_point import FAULTS, behind
from ._guard import Member
from ._retry_policy import RetryPolicy
from ._trial import RetryState, RetryStatistics, Trial

__all__ = ["Retry"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class Retry(Member[Never]):
    """Runs a body again after it failed, in any of three forms, which do the same.

    ``await retry.call(fetch, url)``; ``@retry`` above an async function; or a loop, for statements (a value leaves by the
    other two)::

        async for attempt in retry:
            async with attempt:
                await fetch(url)

    One retry may be used by any number of tasks at once: each body has attempts, delays and dice of its own.

    When it gives up, the last error itself is raised, with a note that says after how many attempts and why. A body that
    is cancelled is never run again, and no attempt begins at or after the deadline of the scopes around it.
    """

    __slots__ = ("_state",)

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        name: str = "retry",
        seed: int | str | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a retry, anywhere: also before Trio runs.

        Args:
            policy: when to try again, and after how long. Default: ``RetryPolicy()``.
            name: what events, notes and pictures call it.
            seed: what jitter is derived from, together with the name. Default: the seed of the step it is used in; where
                there is none, one that differs in each process.
            on_event: is told `AttemptFailed`, `RetryScheduled`, `GaveUp` and `RuleFailed`.

        Raises:
            TypeError: *name* is no string.
        """
        named("Retry", name)
        self.name = name
        self._state = RetryState(name, policy or RetryPolicy(), seed, on_event, owner=self)

    @property
    def policy(self) -> RetryPolicy:
        """When it tries again, and after how long."""
        return self._state.policy

    def statistics(self) -> RetryStatistics:
        """What happened since the run of Trio began. Not a checkpoint."""
        return self._state.statistics()

    @override
    async def call(
        self,
        fn: Callable[[*PosArgs], Awaitable[Value]],
        /,
        *args: *PosArgs,
        retry_if: Callable[[Value], bool] | None = None,
    ) -> Value:
        """Return what ``await fn(*args)`` returns, the first time or a later one.

        The first attempt begins at once, unless the caller is cancelled already; waiting before another is a checkpoint.

        Args:
            fn: an async function.
            args: its arguments. For keyword arguments use ``@retry`` or ``functools.partial``.
            retry_if: a plain function that says of a result whether to try again; when that is not possible, the last
                result is returned. What it raises is raised.

        Raises:
            GuardInUseError: the retry is in use under another run of Trio.

        What *fn* raises last is raised itself.
        """
        await checkpoint_if_cancelled()
        begun = self._state.begin()
        trial: Trial | None = None
        plan = FAULTS.get()
        while True:  # noqa: ASYNC913 - pausing is a checkpoint
            try:
                result = await (
                    fn(*args) if plan is None else behind(plan, self.name, fn, args)
                )
            except Exception as error:
                trial = trial or Trial(self._state, begun)
                again = trial.failed(error)
                # a cancellation replaces the error, but keeps it as its context
                if again is None or not await trial.pause(again, error):  # noqa: ASYNC120
                    raise
                continue
            if retry_if is None or not retry_if(result):
                if trial is not None:
                    trial.succeeded()
                return result
            trial = trial or Trial(self._state, begun)
            again = trial.unwanted()
            if again is None or not await trial.pause(again, None):
                return result

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """The attempts of one body; each ``async for`` has its own."""
        return Attempts(self._state)
