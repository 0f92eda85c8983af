"""What the command line of pytest says about every search, and how to tell people to repeat one.

Layer: testing. Set by the plugin, for the length of a session or of a test; by nobody else.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, final

import attrs

from ._private import Control
from ._program import home_of, is_flow

__all__ = ["OVERRIDES", "PLUGIN", "Overrides"]

PLUGIN: Final = "agentflow_trio.testing.plugin"
"""The plugin of pytest: the name of its module, and of its entry point."""


@final
@attrs.define
class Overrides:
    """What is in force.

    Attributes:
        seeds: how many schedules every search tries, whatever it says itself.
        replay: the one schedule every search tries.
        test: what runs the test that goes on, as typed where pytest was; None if the plugin knows of none.
    """

    seeds: int | None = None
    replay: str | None = None
    test: str | None = None

    def command(
        self,
        program: object,
        code: str,
        *,
        call: Literal["explore", "cancel_everywhere"] = "explore",
        check: object = None,
        faults: object = None,
        services: Sequence[str] = (),
        max_steps: int | None = None,
        control: Control = "order",
    ) -> str:
        """What to type to see a failure again: on a command line if that can say it, else in a program.

        Args:
            program: what failed.
            code: the schedule.
            call: what ran it.
            check: what looked at its result, if anything did; this and the rest as for `explore`.
            faults: what failed besides.
            services: names of tasks that tick for ever.
            max_steps: steps after which an execution counted as stuck, if that was not the usual number.
            control: how much of Trio's order was chosen.
        """
        if self.test is not None:
            return f"{self.test} --agentflow-replay={code}"
        place, judge = _place(program), _place(check)
        unsaid = faults is not None or (check is not None and judge is None)
        if place is None or unsaid:
            return f"{call}(..., replay={code!r})"
        words = [place, *(["--cancel"] if call == "cancel_everywhere" else [])]
        words += [*_judged(place, judge), *_options(services, max_steps, control)]
        return f"python -m agentflow_trio.testing {shlex.join([*words, '--replay', code])}"


def _place(function: object) -> str | None:
    """Where another process finds it, as short as can be said from here."""
    home = None if is_flow(function) else home_of(function)  # a flow needs a state besides
    if home is None:
        return None
    path, _, name = home.rpartition(":")
    place = os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
    return f"{place}:{name}"


def _judged(place: str, judge: str | None) -> list[str]:
    if judge is None:
        return []
    path, _, name = judge.rpartition(":")
    return ["--check", name if path == place.rpartition(":")[0] else judge]


def _options(services: Sequence[str], max_steps: int | None, control: Control) -> Iterator[str]:
    for name in services:
        yield f"--service={name}"
    if max_steps is not None:
        yield f"--max-steps={max_steps}"
    if control != "order":
        yield f"--control={control}"


OVERRIDES: Final = Overrides()
"""Those of this process."""
