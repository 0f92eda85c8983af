"""Values to JSON text and back.

What `dump` writes, `load` reads back equal, for every type of the table; anything else is refused
by name when it is met, and never written in a way that would come back different. Nothing is
coerced: ``"3"`` is not an int, ``true`` is not 1, a tuple of two is not one of three. The one
widening is Python's own: an int may stand for a float.

=========================== ==================================================================
None, bool, int, str        as they are
float                       a number; ``"nan"``, ``"inf"``, ``"-inf"`` (JSON has no word for them)
bytes, bytearray            base64
datetime, date, time        ISO 8601
timedelta                   ISO 8601, in days and seconds: ``"P1DT0.5S"``
Decimal, UUID, Path         a string
Enum                        its value if all values are str or int, else its name
Flag                        its number
Literal                     its value
list, tuple                 a list
set, frozenset              a list, sorted: the same set always gives the same text
dict                        an object; keys are str, int, enums, or what else is one string
attrs class                 an object, with the names ``__init__`` takes as keys
union                       as its member; attrs classes of one union carry ``"$type"``, their name
`Keyed` (SharedState)       an object of the keys that the class declares
`Secret`, `sensitive`       ``"***"``, or null or empty if that is what it is
=========================== ==================================================================

``Sequence`` is read as a tuple, ``Mapping`` as a dict, ``collections.abc.Set`` as a frozenset; under
``Any`` and ``object`` stands plain JSON only. What must not be shown (a `Secret`, a field or key that is `sensitive`,
``Annotated[..., sensitive]``) is read from its text, and left out when it is written; ``"***"`` is refused when it is
read in its place, and no error says what was found there.

Layer: codec, beside state, which it meets through `Keyed`. Rule: a class is looked at once.
"""

from __future__ import annotations

import json
from typing import Final, TypeVar

from ..errors import CodecError, Mismatch
from ._fields import Hint, called
from ._forms import Data
from ._kinds import DYNAMIC, form_of
from ._unfit import FAILURES, mismatches, told

__all__ = ["dump", "from_data", "load", "parse", "to_data"]

Value = TypeVar("Value")


def dump(value: object) -> str:
    """Return *value* as JSON text, in an envelope with the ``__schema_version__`` of its class (1 if it has none).

    Raises:
        CodecError: something in it cannot be written; the error names every such place.
    """
    kind = type(value)
    envelope = {_VERSION: _version_of(kind), "value": to_data(value)}
    try:
        return json.dumps(envelope, allow_nan=False)
    except ValueError as error:  # an int of more digits than Python turns into text
        raise _error(kind, Mismatch("$", "what can be text", str(error))) from None


def load(kind: type[Value], text: str) -> Value:
    """Return the value of *kind* that `dump` wrote as *text*.

    Raises:
        CodecError: it is not JSON (the path is the line and column), has another schema version,
            or does not fit *kind*; the error names every place that does not.
    """
    data = parse(called(kind), text)
    if not _is_envelope(data):
        raise _error(kind, Mismatch("$", f'{{"{_VERSION}": ..., "value": ...}}', told(data)))
    version = data[_VERSION]
    if type(version) is not int or version != _version_of(kind):
        raise _error(kind, Mismatch(_VERSION, str(_version_of(kind)), told(version)))
    return from_data(kind, data["value"])


def parse(kind: str, text: str) -> Data:
    """Return the JSON data (dict, list, str, int, float, bool, None) that *text* holds, read as strictly as `load` does.

    Refused, although `json.loads` takes them: a key twice in one object, of which one value would
    be lost, and ``NaN``, ``Infinity`` and ``-Infinity``, which are not JSON.

    Args:
        kind: what the text should hold, in words; for the error only.
        text: one JSON value, of any type.

    Raises:
        CodecError: it is not JSON (the path is the line and column; ``$`` for what `json.loads`
            takes), or is nested too deeply for Python.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        found = Mismatch(place, "JSON", error.msg)
    except ValueError as error:
        found = Mismatch("$", "JSON", str(error))
    except RecursionError:
        found = _TOO_DEEP
    raise CodecError(kind=kind, mismatches=(found,))


def to_data(value: object) -> Data:
    """Return *value* as JSON data (dict, list, str, int, float, bool, None), without an envelope.

    Raises:
        CodecError: something in it cannot be written; the error names every such place.
    """
    try:
        return DYNAMIC.write(value)
    except FAILURES as failure:
        raise _error(type(value), *mismatches(failure, "$")) from None
    except RecursionError:
        raise _error(type(value), _TOO_DEEP) from None


def from_data(kind: type[Value], data: object) -> Value:
    """Return JSON data as a value of *kind*: no field unknown, none missing, nothing coerced.

    A field that has a default may be missing. Validators and converters of the classes run.

    Raises:
        CodecError: *data* does not fit *kind*; the error names every place that does not.
    """
    try:
        value: Value = form_of(kind).read(data)
    except FAILURES as failure:
        raise _error(kind, *mismatches(failure, "$")) from None
    except RecursionError:
        raise _error(kind, _TOO_DEEP) from None
    return value


_VERSION: Final = "schema_version"
_TOO_DEEP: Final = Mismatch("$", "nesting within Python's recursion limit", "more")


def _is_envelope(data: Data) -> bool:
    return type(data) is dict and data.keys() == {_VERSION, "value"}


def _error(kind: Hint, *found: Mismatch) -> CodecError:
    return CodecError(kind=called(kind), mismatches=found)


def _version_of(kind: Hint) -> int:
    version: int = getattr(kind, "__schema_version__", 1)
    return version


def _unique(pairs: list[tuple[str, Data]]) -> dict[str, Data]:
    keys = [key for key, _ in pairs]
    twice = (
        [key for at, key in enumerate(keys) if key in keys[:at]]
        if len(pairs) > len(dict(pairs))
        else []
    )
    if twice:
        raise ValueError(f"the key {twice[0]!r} twice in one object")
    return dict(pairs)


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word}, which no JSON has")
