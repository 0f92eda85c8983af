"""An application's own log lines, as they may be shown: a processor for structlog, a filter for the standard library.

Layer: redaction. Rules: needs neither structlog nor any configuration of the whole program; raises nothing at whoever logs.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import MutableMapping
from typing import Any, Final, final

from .._typing import override
from ._here import hide, hide_fields

__all__ = ["SecretsFilter", "hide_secrets"]

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has; whatever else is there came through ``extra=``."""


def hide_secrets(
    _logger: object, _method: str, fields: MutableMapping[str, Any], /
) -> MutableMapping[str, Any]:
    """Take out of a record of structlog what must not be shown where it is logged: a processor.

    It stands behind those that make texts of exceptions (``format_exc_info``) and before the renderer. `hide` says what
    is hidden; a field whose name says that it is secret (``password="..."``) is hidden, too.
    """
    hidden = hide_fields(fields)
    fields.clear()
    fields.update(hidden)
    return fields


@final
class SecretsFilter(logging.Filter):
    """Takes out of records of `logging` what must not be shown where they are logged: ``handler.addFilter(SecretsFilter())``.

    Message, traceback, stack and what came through ``extra=``, as `hide` makes it. For handlers: a logger's filter does
    not see what its children log. It changes the record, which handlers after this one see as well; an exception that has something
    to hide is a text from then on. In front of a queue it belongs to the `QueueHandler`, where the run is still known.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Hide, and let every record pass."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit are logging's to complain of, without their values
            message = f"{record.msg} (its arguments do not fit)"
            record.msg, record.args = message, None
        if hide(message) != message:
            record.msg, record.args = hide(message), None
        if record.exc_info:
            text = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
            if (
                hide(text) != text
            ):  # what has nothing to hide stays an exception, for who wants one
                record.exc_info, record.exc_text = None, text
        if record.exc_text:
            record.exc_text = hide(record.exc_text)
        if record.stack_info:
            record.stack_info = hide(record.stack_info)
        more = {name: value for name, value in vars(record).items() if name not in _OWN}
        for name, value in zip(more, hide_fields(more).values(), strict=True):
            setattr(record, name, value)
        return True
