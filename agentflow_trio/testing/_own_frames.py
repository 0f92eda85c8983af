"""The traceback of an error as its author wants it: frames of the program, none of Trio or of this package.

Layer: testing.
"""

from __future__ import annotations

import os
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Final

import trio

__all__ = ["own_traceback"]

_FOREIGN: Final = (
    f"{Path(trio.__file__).parent}{os.sep}",
    f"{Path(__file__).parents[1]}{os.sep}",
    "<frozen ",
)


def own_traceback(error: BaseException) -> str:
    """The lines that Python would print of *error*, without the frames that say nothing about the program."""
    picture = TracebackException.from_exception(error)
    if not _keep_own(picture):
        return "".join(picture.format_exception_only())
    return "".join(picture.format())


def _keep_own(picture: TracebackException) -> bool:
    """Strip *picture* and all it holds; say whether anything but the error itself is left."""
    own = [frame for frame in picture.stack if not frame.filename.startswith(_FOREIGN)]
    picture.stack = StackSummary.from_list(own)
    inner = [picture.__cause__, picture.__context__, *(picture.exceptions or ())]
    others = [other for other in inner if other is not None]
    for other in others:
        _keep_own(other)
    return bool(own or others)
