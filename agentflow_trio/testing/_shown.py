"""What errors say, as it may be shown of the runs that they came out of.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from typing_extensions import TypeIs

from ..errors import FlowAbortedError, FlowFailedError, text_of
from ..redaction import hide

__all__ = ["shown_text"]


def shown_text(error: BaseException, within: BaseException | None) -> str:
    """The text of *error*, without what is hidden always and what the runs hide whose failures are in *within*."""
    text = text_of(error)
    for redact in dict.fromkeys(_redactors(within)):
        text = redact(text)
    return hide(text)


def _redactors(error: BaseException | None) -> Iterator[Callable[[str], str]]:
    yield from _own(error)
    if _is_group(error):
        for member in error.exceptions:
            yield from _redactors(member)


def _own(error: BaseException | None) -> Iterator[Callable[[str], str]]:
    if isinstance(error, FlowFailedError | FlowAbortedError):
        yield error.redact


def _is_group(error: BaseException | None) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)
