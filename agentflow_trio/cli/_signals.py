"""Ctrl-C and SIGTERM: the first asks the run to end, the second ends the process.

The handler is a plain one, not ``trio.open_signal_receiver``: the second Ctrl-C must also work while a node
blocks the loop, when no task gets to read a receiver. Layer: cli.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import final

import trio

from ._exit import ExitCode

__all__ = ["Interrupts"]

_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


@final
class Interrupts:
    """``with Interrupts(ask):`` inside a Trio loop: *ask* is called there after the first signal.

    Args:
        ask: called in the loop with ``Ctrl-C`` or ``SIGTERM``.
        restore: called in the signal handler before the process is ended.
        kill: ends the process with an exit code; does not return.

    Attributes:
        code: the exit code of the first signal; None while there was none.
    """

    def __init__(
        self,
        ask: Callable[[str], object],
        *,
        restore: Callable[[], object] = bool,
        kill: Callable[[int], object] = os._exit,
    ) -> None:
        self.code: ExitCode | None = None
        self._ask = ask
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
        code = _CODES[signal.Signals(number)]
        if self.code is None:
            self.code = code
            self._token.run_sync_soon(
                self._ask, "Ctrl-C" if code is ExitCode.INTERRUPTED else "SIGTERM"
            )
        else:
            try:
                self._restore()
            finally:  # also if the terminal was just being written to
                self._kill(code)
