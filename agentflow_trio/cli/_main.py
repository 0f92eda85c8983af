"""The way in: run the command line, or say how to install what it needs.

Layer: cli. Rule: nothing heavy is imported before it is known that a command was asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ._exit import ExitCode

__all__ = ["main"]

_NEEDED = ("cyclopts", "rich")


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the ``agentflow`` command and return its exit code.

    Args:
        tokens: what stands after ``agentflow``; from ``sys.argv`` by default.
    """
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
