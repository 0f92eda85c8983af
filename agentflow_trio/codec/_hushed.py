"""How what must not be shown is written and read: never written, and named by no error.

Layer: codec. Rule: ``***`` stands where a value was left out, and is never taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
from cattrs import ForbiddenExtraKeysError
from typing_extensions import override

from ..types import is_nothing, sensitive
from ._forms import Data, Form, Thing
from ._unfit import FAILURES, UnfitError

__all__ = ["MASK", "Hushed", "hushed", "is_marked"]

MASK: Final = "***"


def is_marked(notes: Sequence[Any]) -> bool:
    """Whether what stands behind the type in an ``Annotated`` says that it is sensitive."""
    return any(
        isinstance(note, Mapping) and sensitive.items() <= note.items() for note in notes
    )


@attrs.frozen(eq=False)
class Hushed(Form):
    """A value that is sensitive, of the form *inner*."""

    inner: Form

    @property
    @override
    def sensitive(self) -> bool:
        return True

    @override
    def fits(self, value: object) -> bool:
        return self.inner.fits(value)

    @override
    def takes(self, data: object) -> bool:
        return self.inner.takes(data) or data == MASK

    @override
    def written(self, value: Thing) -> Data:
        return self.inner.write(value) if is_nothing(value) else MASK

    @override
    def value(self, data: Data) -> Thing:
        if data == MASK:
            raise UnfitError(
                f"{self.expected} itself", f"{MASK!r}, which stands where it was left out"
            )
        try:
            return self.inner.read(data)
        except FAILURES:
            raise self.unfit(data) from None


def hushed(failures: Sequence[Exception]) -> list[Exception]:
    """What is wrong with a class that has sensitive fields, without the texts of its own validators and converters."""
    return [
        failure
        if isinstance(failure, (*FAILURES, ForbiddenExtraKeysError)) or _is_placed(failure)
        else UnfitError(
            "what the class accepts",
            f"{type(failure).__name__}, its text not shown: a field is sensitive",
        )
        for failure in failures
    ]


def _is_placed(failure: Exception) -> bool:
    return bool(getattr(failure, "__notes__", ()))
