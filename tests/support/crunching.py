"""What worker processes call: they import it, and nothing of the package, which would take them ten times as long."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "crash",
    "fail",
    "grow",
    "inner_of",
    "linger",
    "lock_of",
    "pid",
    "spin",
    "square",
    "type_error",
]


def square(number: int) -> int:
    return number * number


def grow(numbers: list[int]) -> int:
    """Change an argument; the caller's must stay as it is."""
    numbers.append(4)
    return sum(numbers)


def pid() -> int:
    return os.getpid()


def spin(started: str) -> None:
    """Say who is at work and keep a core busy for ever."""
    beside = Path(started).with_suffix(".half")
    beside.write_text(str(os.getpid()), encoding="utf-8")
    beside.replace(started)
    while True:
        pass


def fail(text: str) -> None:
    raise ValueError(text)


def type_error() -> None:
    raise TypeError("cannot add")


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lock_of(_: object) -> object:
    """Return what cannot be pickled."""
    return threading.Lock()


def inner_of(number: int) -> Callable[[], int]:
    """Return what pickle cannot find by its name."""
    return lambda: number


def linger() -> int:
    """Leave a thread behind that keeps the process from ending."""
    threading.Thread(target=threading.Event().wait).start()
    return os.getpid()
