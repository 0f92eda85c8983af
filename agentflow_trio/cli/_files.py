"""Files that are named on a command line: no two options may write one, nor one write what another reads.

Layer: cli.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ._exit import UsageError

__all__ = ["keep_apart"]


def keep_apart(
    written: Mapping[str, Path | None], read: Mapping[str, str | Path | None] | None = None
) -> None:
    """Make sure that no file is lost: those *written*, by the option that names each, are all different, and none is *read*.

    What is no file, as ``-`` or ``/dev/null``, may be named as often as one likes.

    Raises:
        UsageError: one is named twice.
    """
    names: dict[str, str] = {}
    for option, path in [*(read or {}).items(), *written.items()]:
        if path is None or (Path(path).exists() and not Path(path).is_file()):
            continue
        real = os.path.realpath(path)
        other = names.setdefault(real, option)
        if option in written and other != option:
            raise UsageError(
                problem=f"{other} and {option} are the same file, {path}: what stands there would be lost",
                hint="Give each a file of its own.",
            )
