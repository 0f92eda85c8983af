"""``--log``: records of a log in place of progress, those of nodes included.

Layer: cli. Imported when it is asked for, as structlog is. Rule: a command is an application, so it may take what nodes log.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, TextIO, TypeAlias, final

from typing_extensions import override

from ..observe.logs import Logs, console_logger, json_logger, taking_over
from ._lines import Undrawn
from ._showing import shown, shown_data

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

    @override
    def fail(self, text: str) -> None:
        """Log what the run failed with."""
        self._logger.error(shown(text))

    def taking(self) -> AbstractContextManager[None]:
        """Take what nodes log within, if the program has not configured where that goes."""
        return taking_over(self._logger, shown_data)
