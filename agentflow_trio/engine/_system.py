"""The real world behind the ports: wall clock and random ids.

Layer: engine.
"""

from __future__ import annotations

import time
from typing import final

from .._typing import override
from ..ports import Ids, WallClock

__all__ = ["RandomIds", "SystemClock"]


@final
class SystemClock(WallClock):
    """The machine's time of day."""

    @override
    def now(self) -> float:
        return time.time()  # noqa: TID251 - the one place where wall time is read


@final
class RandomIds(Ids):
    """A random UUID for each run."""

    @override
    def run_id(self) -> str:
        import uuid  # noqa: PLC0415 - 0.6 ms of import that a run without a name to tell need not pay

        return str(uuid.uuid4())
