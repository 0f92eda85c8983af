"""What pickle can pass between processes, and which part of a call it cannot. Imported when a process is asked for.

Layer: engine.
"""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar, TypeVarTuple

__all__ = ["call_copied", "not_picklable"]

Value = TypeVar("Value")
PosArgs = TypeVarTuple("PosArgs")


def call_copied(fn: Callable[[*PosArgs], Value], args: tuple[*PosArgs]) -> Value:
    """Call *fn* here as a worker process would: on copies, for a copy of the result."""
    its: tuple[*PosArgs] = _copied(args)
    result: Value = _copied(_copied(fn)(*its))
    return result


def not_picklable(fn: object, args: tuple[object, ...], error: Exception) -> str | None:
    """What of a call that raised *error* could not be passed; None if the function itself raised it."""
    if not isinstance(error, _ERRORS):
        return None
    parts = [("the function", fn)]
    parts += [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    for what, value in parts:
        try:
            _dumps(value)
        except _ERRORS:
            return what
    if _UNKNOWN.match(str(error)):
        return "the function"
    return "its result" if _UNFIT.match(str(error)) else None


def _dumps(value: object) -> bytes:
    """As the workers do it: with cloudpickle, if that is installed."""
    dumps: Callable[[object], bytes] = getattr(
        sys.modules.get("cloudpickle"), "dumps", pickle.dumps
    )
    return dumps(value)


def _copied(value: object) -> Any:  # noqa: ANN401 - pickle's
    return pickle.loads(_dumps(value))  # noqa: S301 - written in the same line


_ERRORS: Final = (AttributeError, TypeError, pickle.PicklingError)
_UNFIT: Final = re.compile(r"(can't|cannot) (pickle|get local object)", re.IGNORECASE)
_UNKNOWN: Final = re.compile(r"Can't get attribute '.*' on <module '__(mp_)?main__'")
