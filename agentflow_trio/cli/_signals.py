"""Ctrl-C and SIGTERM: the first asks the run to end, the second asks it to hurry, the third ends the process.

The handler is a plain one, not ``trio.open_signal_receiver``: the last Ctrl-C must also work while a node
blocks the loop, when no task gets to read a receiver. Layer: cli.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import final

import trio

from ._exit import ExitCode

__all__ = ["Interrupts"]

_CODES: Mapping[int, ExitCode] = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    # Ctrl-Break, which on Windows is how a process is asked to end by another
    getattr(signal, "SIGBREAK", signal.SIGTERM): ExitCode.TERMINATED,
}


@final
class Interrupts:
    """``with Interrupts(ask, ask_again):`` inside a Trio loop: they are called there after the first signals, one after each.

    Args:
        asks: each called in the loop with the name of its signal, as ``Ctrl-C`` or ``SIGTERM``. The signal after the
            last one of them ends the process.
        restore: called in the signal handler before the process is ended.
        kill: ends the process with an exit code; does not return.

    Attributes:
        code: the exit code of the first signal; None while there was none.
    """

    def __init__(
        self,
        *asks: Callable[[str], object],
        restore: Callable[[], object] = bool,
        kill: Callable[[int], object] = os._exit,
    ) -> None:
        self.code: ExitCode | None = None
        self._asks = [*asks]
        self._restore = restore
        self._kill = kill
        self._token = trio.lowlevel.current_trio_token()
        self._before = {number: signal.getsignal(number) for number in _CODES}

    def __enter__(self) -> Interrupts:
        for number in _CODES:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None, /) -> None:
        code = _CODES[number]
        self.code = self.code or code
        if self._asks:
            name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            self._token.run_sync_soon(self._asks.pop(0), name)
        else:
            try:
                self._restore()
            finally:  # also if the terminal was just being written to
                self._kill(code)
