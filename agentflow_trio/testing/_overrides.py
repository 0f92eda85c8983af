"""What the command line of pytest says about every search, and how to tell people to repeat one.

Layer: testing. Set by the plugin for the length of a session; by nobody else.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final, final

import attrs

from ._program import home_of

__all__ = ["OVERRIDES", "Overrides"]


@final
@attrs.define
class Overrides:
    """Attributes:
    seeds: how many schedules every search tries, whatever it says itself.
    replay: the one schedule every search tries.
    """

    seeds: int | None = None
    replay: str | None = None

    def command(self, program: object, code: str) -> str:
        """What to type to see a failure again."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        if test:
            return f"pytest {shlex.quote(test)} --agentflow-replay={code}"
        home = home_of(program)
        if home is None:
            return f"explore(..., replay={code!r})"
        path, _, name = home.rpartition(":")
        place = os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
        return (
            f"python -m agentflow_trio.testing {shlex.quote(f'{place}:{name}')} --replay {code}"
        )


OVERRIDES: Final = Overrides()
"""Those of this process."""
