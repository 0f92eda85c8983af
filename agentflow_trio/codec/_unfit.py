"""What does not fit, and where: one error for each mistake, all of them raised together.

Layer: codec. Rule: places are noted on the errors as cattrs does it, so that its groups and ours
nest in one another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final

from cattrs import (
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
)
from cattrs.errors import AttributeValidationNote, IterableValidationNote

from ..errors import CodecError, Mismatch
from ._fields import Hint, called, fields_of

__all__ = [
    "FAILURES",
    "UnfitError",
    "class_failure",
    "each",
    "mismatches",
    "named",
    "no_such",
    "told",
    "tried",
]

_LONGEST: Final = 40


class UnfitError(Exception):
    """One thing is not what its type wants."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


FAILURES: Final = (UnfitError, BaseValidationError, CodecError)
"""What writing and reading may raise."""


def each(convert: Callable[[Any], Any], parts: Iterable[tuple[int | str, Any]]) -> list[Any]:
    """Convert every part; each comes with its place, an index or a key."""
    done: list[Any] = []
    failures: list[Exception] = []
    for place, part in parts:
        try:
            done.append(convert(part))
        except FAILURES as failure:
            failure.add_note(IterableValidationNote(f"at {place!r}", place, None))
            failures.append(failure)
    if failures:
        raise _group(IterableValidationError, failures, list)
    return done


def named(
    kind: Hint, convert: Callable[[str, Any], Any], parts: Iterable[tuple[str, Any]]
) -> dict[str, Any]:
    """Convert every part; each comes with the name of its field of *kind* (or key, of ``object``)."""
    done: dict[str, Any] = {}
    failures: list[Exception] = []
    for name, part in parts:
        try:
            done[name] = convert(name, part)
        except FAILURES as failure:
            failure.add_note(AttributeValidationNote(f"at {name}", name, None))
            failures.append(failure)
    if failures:
        raise class_failure(failures, kind)
    return done


def class_failure(failures: Sequence[Exception], kind: Hint) -> Exception:
    """All that is wrong with the fields of *kind*, as one error."""
    return _group(ClassValidationError, failures, kind)


def _group(
    make: Callable[..., Exception], failures: Sequence[Exception], kind: Hint
) -> Exception:
    # Checkers see the arguments of ExceptionGroup's __init__, which are not those of cattrs' __new__.
    return make("does not fit", failures, kind)


def tried(read: Callable[[], Any]) -> tuple[Any, Sequence[Exception]]:
    """What *read* returns, and what was wrong with the fields of a class if it raises that."""
    try:
        return read(), ()
    except ClassValidationError as failure:
        return None, failure.exceptions


def mismatches(failure: Exception, path: str) -> Iterator[Mismatch]:
    """Everything that is wrong in what was raised, with its path."""
    match failure:
        case CodecError():  # about a class, wherever it was met
            yield from failure.mismatches
        case UnfitError():
            yield Mismatch(path, failure.expected, failure.got)
        case ClassValidationError() | IterableValidationError():
            noted, rest = failure.group_exceptions()
            for inner, note in noted:
                place = path + _segment(failure.cl, note)
                if isinstance(inner, KeyError):  # how cattrs says that a field is missing
                    yield Mismatch(place, called(note.type), "nothing")
                else:
                    yield from mismatches(inner, place)
            for inner in rest:
                yield from mismatches(inner, path)
        case ForbiddenExtraKeysError():
            keys = [key for _, key, _ in fields_of(failure.cl)]
            for extra in sorted(failure.extra_fields):
                yield Mismatch(path + _dotted(extra), no_such(extra, keys), repr(extra))
        case _:
            got = f"{type(failure).__name__}: {failure}"
            yield Mismatch(path, "what the class accepts", got)


def _segment(kind: Hint, note: AttributeValidationNote | IterableValidationNote) -> str:
    if isinstance(note, IterableValidationNote):
        return f"[{json.dumps(note.index)}]"
    keys = {} if kind is object else {name: key for name, key, _ in fields_of(kind)}
    return _dotted(keys.get(note.name, note.name))


def _dotted(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"


def no_such(name: str, known: Iterable[str]) -> str:
    """What is expected where a name is not known."""
    near = get_close_matches(name, [*known], n=1)
    return f"a known field (did you mean {near[0]!r}?)" if near else "a known field"


def told(found: object) -> str:
    """A value in a few words."""
    if found is None:
        return "null"
    if not isinstance(found, bool | int | float | str):
        return type(found).__name__
    text = repr(found)
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return f"{type(found).__name__} {short}"
