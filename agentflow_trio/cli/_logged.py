"""``--log``: records of a log in place of progress.

Layer: cli. Imported when it is asked for, as structlog is.
"""

from __future__ import annotations

from typing import Literal, TextIO, TypeAlias, final

from ..observe.logs import Logs, console_logger, json_logger
from ._lines import Undrawn

__all__ = ["Form", "Logged"]

Form: TypeAlias = Literal["console", "json"]
"""Records as lines for people, or each as an object of JSON."""


@final
class Logged(Undrawn):
    """A view whose observer logs every event that matters."""

    def __init__(self, form: Form, file: TextIO) -> None:
        self._logger = json_logger(file) if form == "json" else console_logger(file)
        self._logs = Logs(self._logger)

    @property
    def observer(self) -> Logs:
        """What logs the events."""
        return self._logs

    def say(self, text: str) -> None:
        """Log a line of ours."""
        self._logger.info(text)
