"""The file of ``--events``: every event of a run as a line of JSON.

Layer: cli. Rule: a line is in the file before the run goes on, so that the file is complete however the run ends.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import final

from ..events import ExecutionEvent
from ..observe import write_event
from ..ports import Observer
from ._exit import UsageError

__all__ = ["EventLog", "event_log"]


@contextmanager
def event_log(path: Path | None) -> Generator[tuple[Observer, ...]]:
    """Open the file at *path*, emptied, and give the observer that fills it; none without a path.

    Raises:
        UsageError: it cannot be opened.
    """
    if path is None:
        yield ()
        return
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise UsageError(problem=f"{path} cannot be written: {error.strerror}") from error
    log = EventLog(file)
    with file:
        yield (log,)
    if log.failure is not None:
        sys.stderr.write(f"warning: {path} is not complete: {log.failure}\n")


@final
class EventLog:
    """An observer that writes every event as a line of JSON, at once.

    Attributes:
        failure: why it stopped writing; None while all is well.
    """

    name = "events"

    def __init__(self, file: RawIOBase) -> None:
        self.failure: OSError | None = None
        self._file = file

    def observe(self, event: ExecutionEvent) -> None:
        """Write *event*; after a failure nothing more, so that no gap is hidden."""
        if self.failure is None:
            try:
                self._file.write(write_event(event).encode() + b"\n")
            except OSError as error:
                self.failure = error
