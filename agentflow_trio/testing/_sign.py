"""What can be seen of some tasks: equal signs at two moments mean that nothing has changed between them.

Layer: testing. Besides the places where tasks stand, whatever Python can tell of values is looked at, also what loops
keep to themselves: a program that counts, draws or takes something out of somewhere is not standing still.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Hashable, Sequence
from itertools import islice
from operator import length_hint
from pathlib import Path
from random import Random
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    ModuleType,
)
from typing import Final

from trio.lowlevel import Task

__all__ = ["sign_of"]

_DEPTH: Final = 3
"""Of objects in objects."""

_WIDTH: Final = 32
"""Parts of one object."""

_SIMPLE: Final = frozenset({int, float, str, bytes, bool, type(None)})
_SIZED: Final = frozenset({"builtins", "collections", "itertools"})
_OPAQUE: Final = (
    Task,
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    CodeType,
    FrameType,
)
_RUNNING: Final = frozenset({CoroutineType, GeneratorType, AsyncGeneratorType})
_HERE: Final = str(Path(__file__).parent) + os.sep
_PACKAGE: Final = __name__.rpartition(".")[0]


def sign_of(tasks: Sequence[Task]) -> Hashable:
    """Where *tasks* stand, and what they see there."""
    return tuple(
        (
            id(task),
            *((frame.f_code, frame.f_lasti, *_globals(frame)) for frame, _ in _frames(task)),
            _look(task.coro, _DEPTH),
        )
        for task in tasks
    )


def _frames(task: Task) -> Sequence[tuple[FrameType, int]]:
    """Those of the program and of what it uses."""
    return [item for item in task.iter_await_frames() if not _is_ours(item[0].f_code)]


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(_HERE)


def _globals(frame: FrameType) -> Sequence[Hashable]:
    """What the code there can see of its module."""
    known = frame.f_globals
    return [_look(known[name], 1) for name in frame.f_code.co_names if name in known]


def _look(value: object, depth: int) -> Hashable:
    """What *value* is, and everything below it. Runs no code of the program."""
    kind = type(value)
    if kind in _SIMPLE:
        return (kind, value)
    if kind in _RUNNING:  # made anew for every call: what matters is what it holds
        return tuple(_look(part, depth) for part in _held_by(value))
    if type(value) is FunctionType:  # may be made anew, too
        return id(value.__code__)
    if type(value) is Random:
        return value.getstate()
    home = str(kind.__module__)
    if not depth or issubclass(kind, _OPAQUE) or home.startswith(_PACKAGE):
        return id(value)
    size = length_hint(value) if home in _SIZED else 0
    parts = islice(gc.get_referents(value), _WIDTH)
    return (id(value), size, *(_look(part, depth - 1) for part in parts))


def _held_by(running: object) -> Sequence[object]:
    """What a coroutine or generator holds, what it awaits included; of one of the simulator's, only that."""
    ours = isinstance(running, CoroutineType) and _is_ours(running.cr_code)
    return [
        part
        for part in gc.get_referents(running)
        if (
            type(part) in _RUNNING if ours else not isinstance(part, str | CodeType | FrameType)
        )
    ]
