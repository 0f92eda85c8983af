# trio-parallel 1.3.0
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar, TypeVarTuple, final

import trio

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

class BrokenWorkerError(RuntimeError): ...

@final
class WorkerContext:
    async def run_sync(
        self,
        sync_fn: Callable[[*_Ts], _T],
        *args: *_Ts,
        kill_on_cancel: bool = False,
        limiter: trio.CapacityLimiter | None = None,
    ) -> _T: ...

def open_worker_context(
    *, grace_period: float = 30.0
) -> AbstractAsyncContextManager[WorkerContext, None]: ...
