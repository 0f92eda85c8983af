"""The ``agentflow`` command (extra ``cli``). Importing this imports neither cyclopts nor rich."""

from ._main import main

__all__ = ["main"]
