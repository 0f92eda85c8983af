"""Whose code a frame runs: the node author's, a library's, or ours; and what a function is called.

Layer: engine.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Final, TypeAlias

import outcome
import trio

__all__ = ["Stack", "is_ours", "is_trios", "name_of", "place", "places", "theirs", "upto"]

Stack: TypeAlias = Sequence[tuple[FrameType, int]]
"""Frames and the lines they are at, outermost first."""


def name_of(fn: object) -> str:
    """What reports call a function."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return getattr(fn, "__qualname__", None) or type(fn).__name__


def _folder(file: str | None) -> str:
    return f"{Path(file or '.').parent}/"


_OURS: Final = f"{Path(__file__).parents[1]}/"
_TRIOS: Final = (_folder(trio.__file__), _folder(outcome.__file__))


@cache
def _libraries() -> tuple[str, ...]:
    import sysconfig  # noqa: PLC0415 - only who looks need import it

    folders = (sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    return (*(f"{folder}/" for folder in folders), "<frozen ")


@lru_cache(maxsize=1024)  # a look at 1,000 branches asks 10,000 times about the same few codes
def is_ours(code: CodeType) -> bool:
    """Whether it is of this package."""
    return code.co_filename.startswith(_OURS)


@lru_cache(maxsize=1024)
def is_trios(code: CodeType) -> bool:
    """Whether it is of Trio."""
    return code.co_filename.startswith(_TRIOS)


@lru_cache(maxsize=1024)
def _is_a_librarys(code: CodeType) -> bool:
    return code.co_filename.startswith(_libraries())


def theirs(stack: Stack) -> int | None:
    """The index of the innermost frame of the node's own code; None without any.

    Its own is what is no library's, and whatever is in the package that the node is in, wherever that is installed.
    """
    own = [
        index
        for index, (frame, _) in enumerate(stack)
        if not (is_ours(frame.f_code) or is_trios(frame.f_code))
    ]
    if not own:
        return None
    home = _package(stack[own[0]][0])
    at_home = (
        index
        for index in reversed(own)
        if not _is_a_librarys(stack[index][0].f_code) or _package(stack[index][0]) == home
    )
    return next(at_home)  # the outermost of them is


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def upto(frame: FrameType | None, outermost: FrameType) -> Iterator[tuple[FrameType, int]]:
    """*frame* and those that called it, up to *outermost* or the very first."""
    while frame is not None:
        yield frame, frame.f_lineno
        frame = None if frame is outermost else frame.f_back


def place(frame: FrameType, line: int) -> str:
    """Where it is, as ``file:line function``."""
    return f"{frame.f_code.co_filename}:{line} {frame.f_code.co_qualname}"


def places(stack: Iterable[tuple[FrameType, int]]) -> Iterator[str]:
    """Where they are, as ``function (file:line)``, outermost first; those of the engine and of Trio are left out."""
    for frame, line in stack:
        code = frame.f_code
        if not code.co_filename.startswith(_ENGINES) and not is_trios(code):
            yield f"{code.co_name} ({code.co_filename}:{line})"


_ENGINES: Final = _folder(__file__)
