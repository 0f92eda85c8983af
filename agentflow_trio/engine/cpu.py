"""Worker processes, by trio-parallel: the home of that import. Needs the extra ``cpu``.

Layer: engine. Rules: a worker begins when one is needed and is kept for the next call; cancelling a call kills its
worker; closing ends the others.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import TypeVar, TypeVarTuple, final

import trio
import trio_parallel

from ..errors import WorkerDiedError

__all__ = ["Workers"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


@final
class Workers:
    """Some worker processes: `current_step().to_process() <agentflow_trio.StepContext.to_process>` is the way to use them."""

    def __init__(self, grace: float) -> None:
        """*grace*: seconds that idle workers have to end in before they are killed."""
        self._opening = trio_parallel.open_worker_context(grace_period=grace)
        self._open: trio_parallel.WorkerContext | None = None

    async def call(
        self,
        name: str,
        limiter: trio.CapacityLimiter,
        fn: Callable[[*PosArgs], Value],
        args: tuple[*PosArgs],
    ) -> Value:
        """Call *fn*, which reports name *name*, in a worker. Always a checkpoint.

        Raises:
            WorkerDiedError: the process died over it.
        """
        if self._open is None:  # opening does not wait, so that no two tasks do it
            self._open = await self._opening.__aenter__()
        try:
            return await self._open.run_sync(fn, *args, kill_on_cancel=True, limiter=limiter)
        except trio_parallel.BrokenWorkerError as died:
            raise _died(name, died) from died

    async def close(self) -> None:
        """End the workers that calls have begun. Always a checkpoint; cannot be cancelled.

        Raises:
            WorkerDiedError: one had to be killed, for it did not end within the grace.
        """
        try:
            await self._opening.__aexit__(None, None, None)
        except trio_parallel.BrokenWorkerError as died:
            raise _died("", died) from died


def _died(name: str, died: trio_parallel.BrokenWorkerError) -> WorkerDiedError:
    codes = [each.exitcode for each in died.args if isinstance(each, BaseProcess)]
    return WorkerDiedError(function=name, exit_code=codes[0] if codes else None)
