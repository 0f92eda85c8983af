"""The programs that the tests in ``tests/real`` start."""

from __future__ import annotations

import shutil

import pytest

__all__ = ["needed"]


def needed(*names: str, path: str | None = None) -> str:
    """The first of *names* that is in *path* or in ``$PATH``; the test fails if there is none.

    It is not skipped: who asks for the tests that start programs is to know that they did.
    """
    for name in names:
        found = shutil.which(name, path=path) or shutil.which(name)
        if found is not None:
            return found
    pytest.fail(f"{' or '.join(names)} must be on PATH; .ci/run shows how to get it")
