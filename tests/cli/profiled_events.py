"""The events of a run that ended, and of one whose process was killed."""

from __future__ import annotations

from typing import Any, Final

from agentflow_trio.events import (
    ExecutionEvent,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    RunEnded,
    RunStarted,
)

_FLOW: Final[dict[str, Any]] = {"run_id": "r", "path": "news", "flow": "news"}
_FETCH: Final[dict[str, Any]] = {"run_id": "r", "path": "news/fetch"}
_WRITE: Final[dict[str, Any]] = {"run_id": "r", "path": "news/write"}

KILLED: Final[tuple[ExecutionEvent, ...]] = (
    RunStarted(
        **_FLOW,
        seq=0,
        timestamp=0.0,
        definition_hash="",
        seed=0,
        schema_version=1,
        wall_time=0.0,
    ),
    NodeStarted(**_FETCH, seq=1, timestamp=0.0),
    NodeFailed(
        **_FETCH,
        seq=2,
        timestamp=1.0,
        phase="exec",
        attempt=1,
        error="OSError",
        message="gone",
    ),
)
"""The last lines were not written any more."""

FINISHED: Final[tuple[ExecutionEvent, ...]] = (
    *KILLED,
    NodeStarted(**_WRITE, seq=3, timestamp=1.0),
    NodeSucceeded(**_WRITE, seq=4, timestamp=4.0, duration_ms=3000.0, exit="done"),
    RunEnded(
        **_FLOW, seq=5, timestamp=4.0, outcome="success", exit="done", steps=2, error=None
    ),
)
