"""The way in: run the command line, or say how to install what it needs.

Layer: cli. Rule: nothing heavy is imported before it is known that a command was asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ._exit import ExitCode

__all__ = ["main"]

_NEEDED = ("cyclopts", "rich")


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the ``agentflow`` command and return its exit code.

    Args:
        tokens: what stands after ``agentflow``; from ``sys.argv`` by default.
    """
    _fill()
    try:
        from .app import dispatch  # noqa: PLC0415 - cyclopts and rich may be missing
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        sys.stderr.write(
            f"The agentflow command needs {package!r}, which is not installed: "
            "run  pip install 'agentflow_trio[cli]'\n"
        )
        return ExitCode.USAGE
    return dispatch(sys.argv[1:] if tokens is None else tokens)


def _fill() -> None:
    """Stand in for standard streams that whoever began the process has closed, so that no file gets their numbers.

    An answer that is written to a stdout that is not there is lost, and that is said.
    """
    for name, mode in (("stdin", "r"), ("stdout", "r"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process lives
