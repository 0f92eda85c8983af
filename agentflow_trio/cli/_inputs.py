"""The state a run begins with: ``--input`` read as JSON, ``--set`` laid over it, checked against the state's class.

Layer: cli. Rule: everything that does not fit is said at once, and before anything runs;
JSON is read as strictly as by `codec.load`.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO, TypeAlias, TypeVar, final

import attrs

from ..codec import from_data, parse
from ..errors import CodecError
from ..ports import Keyed
from ._exit import UsageError
from ._loading import did_you_mean

__all__ = ["make_state"]

State = TypeVar("State")
_BEGIN: Final = re.compile(r"[\w.]+")
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def make_state(
    kind: type[State], source: str | None, settings: Sequence[str], stdin: TextIO
) -> State:
    """Return the *kind* described by a JSON file and settings.

    Args:
        kind: the class of the flow's state.
        source: a file, ``-`` for *stdin*, None for an empty object.
        settings: ``key=value`` or ``key.part=value``, applied in order.
        stdin: where ``-`` is read from.

    Raises:
        UsageError: the input is not strict JSON (line and column), or with every mistake found: fields that are missing, unknown or of another type, with path, expected, got.
    """
    data: dict[str, Json] = {} if source is None else _read(source, stdin, kind)
    problems = [problem for setting in settings if (problem := _set(data, kind, setting))]
    if len(problems) > 1:
        raise UsageError(
            problem=f"{len(problems)} settings are wrong:", details=tuple(problems)
        )
    if problems:
        raise UsageError(problem=problems[0])
    try:
        return from_data(kind, data)
    except CodecError as error:
        raise UsageError(
            problem=f"the input is not a valid {kind.__name__}:",
            details=tuple(map(str, error.mismatches)),
            hint="Give fields with --input FILE.json or --set key=value.",
        ) from error


def _read(source: str, stdin: TextIO, kind: type[Any]) -> dict[str, Json]:
    name = "standard input" if source == "-" else source
    if source.lstrip().startswith("{"):
        problem = "--input is the name of a file, not the JSON itself"
        raise UsageError(problem=problem, hint="Let --input - read it from standard input.")
    try:
        text = stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(problem=f"{name} cannot be read: {error}") from error
    try:
        data: Json = parse(kind.__name__, text)
    except CodecError as error:
        raise UsageError(problem=f"{name} is {error}") from error
    if not isinstance(data, dict):
        raise UsageError(problem=f"{name} must hold a JSON object, not {_json_kind(data)}")
    return data


def _json_kind(value: Json) -> str:
    names: dict[type, str] = {
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


# ---------------------------------------------------------------- settings


@final
@attrs.frozen
class _Parts:
    """What a value of some type consists of: named parts, and the type of all others (None: there are no others)."""

    named: Mapping[str, type[Any]] = attrs.field(factory=dict[str, type[Any]])
    others: type[Any] | None = None


def _set(data: dict[str, Json], kind: type[Any], setting: str) -> str:
    """Apply one ``key=value`` to *data*; return what is wrong with it, or nothing."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        named = _BEGIN.match(setting)  # what follows may be the value, which may be secret
        typed = setting if named is None or named[0] == setting else f"{named[0]}..."
        return f"--set {typed}: write it as key=value"
    names = key.split(".")
    place = data
    for number, name in enumerate(names, 1):
        parts = _parts(kind)
        part = parts.named.get(name, parts.others)
        if part is None:
            return f"--set {key}: {_no_part('.'.join(names[: number - 1]), name, parts)}"
        kind = part
        if number < len(names):
            below = place.setdefault(name, {})
            if below is None:
                below = place[name] = {}
            if not isinstance(below, dict):
                return f"--set {key}: {'.'.join(names[:number])} is {_json_kind(below)} in the input"
            place = below
    place[names[-1]] = _value(kind, text)
    return ""


def _no_part(owner: str, name: str, parts: _Parts) -> str:
    if not parts.named:
        return f"{owner or 'the state'} has no fields"
    known = did_you_mean(name, parts.named) or f"; there are {', '.join(parts.named)}"
    return f"{owner or 'the state'} has no field {name!r}{known}"


def _parts(kind: type[Any]) -> _Parts:
    """What a value of *kind* consists of, as the codec writes it."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _parts(options[0])
    if origin in {typing.Union, types.UnionType}:
        several = [_parts(option) for option in options]
        named = {name: part for parts in several for name, part in parts.named.items()}
        return _Parts(named, next((parts.others for parts in several if parts.others), None))
    plain = origin or kind
    if plain in {Any, object}:
        return _Parts(others=object)
    return _parts_of_class(plain, options) if isinstance(plain, type) else _Parts()


def _parts_of_class(kind: type[Any], options: tuple[Any, ...]) -> _Parts:
    if issubclass(kind, Keyed):
        return _Parts(kind.__agentflow_keys__())
    if attrs.has(kind):
        hints = typing.get_type_hints(kind)
        fields = (field for field in attrs.fields(kind) if field.init)
        return _Parts({field.alias or field.name: hints[field.name] for field in fields})
    if issubclass(kind, Mapping):
        return _Parts(others=(*options, object, object)[1])
    return _Parts()


def _value(kind: type[Any], text: str) -> Json:
    """*text* as JSON if it is JSON that fits *kind*, else as a string if that fits, else whatever it is, to be refused."""
    try:
        value: Json = parse("setting", text)
    except CodecError:
        return text
    return text if not _fits(kind, value) and _fits(kind, text) else value


def _fits(kind: type[Any], value: object) -> bool:
    try:
        from_data(kind, value)
    except CodecError:
        return False
    return True
