"""Does the same seed give the same run? Here, and in another process with another hash seed.

Layer: testing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

import outcome

from ._errors import NondeterminismError
from ._private import Control
from ._program import Program, body_of, home_of, title_of
from ._search_core import trial
from ._world import World

__all__ = ["check_deterministic", "trace_of"]

_CONTEXT: Final = 5
_LAST: Final = 20
_CHILD: Final = "AGENTFLOW_TRIO_TRACING"


def check_deterministic(
    program: Program[object],
    /,
    *,
    seed: int = 0,
    hash_seed: int | None = 1,
    max_steps: int = 100_000,
    control: Control = "order",
) -> Sequence[str]:
    """Make sure that two runs of *program* with the same seed do the same, step by step.

    The second run happens in another process of Python, with another hash seed, so that sets and hashes of strings show
    themselves. What is compared is which task made a step when, at which line, and what the program returned or raised.
    Synchronous: it starts Trio itself.

    Args:
        program: an async function at the top level of a module, which another process can import.
        seed: of both runs.
        hash_seed: ``PYTHONHASHSEED`` of the other process; None runs both in this one, for a program of any kind.
        max_steps: steps after which it counts as stuck.
        control: how much of Trio's order to choose, for a Trio that does not obey.

    Returns:
        The trace, line by line.

    Raises:
        NondeterminismError: they differ; it names the first line that does, and what came before.
        ValueError: another process cannot find the program.
        ControlError, NestedSimulationError: as for `explore`.
    """
    here = trace_of(program, seed=seed, max_steps=max_steps, control=control)
    if hash_seed is None:
        there = trace_of(program, seed=seed, max_steps=max_steps, control=control)
    else:
        there = _trace_elsewhere(program, seed, hash_seed, max_steps, control)
    for number, (one, two) in enumerate(zip_longest(here, there)):
        if one != two:
            before = here[max(number - _CONTEXT, 0) : number]
            raise NondeterminismError(line=number + 1, first=one, second=two, before=before)
    return here


def trace_of(
    program: object, *, seed: int, max_steps: int, control: Control = "order"
) -> Sequence[str]:
    """What one run of *program* does, line by line."""
    body = body_of(program)
    world = World(control=control, max_steps=max_steps, trace=True, places=True)
    ended = world.execute(body, trial("batch", seed, slack=False))
    came = ended.outcome
    end = f"{ended.time!r} returned {came.value!r}" if isinstance(came, outcome.Value) else ""
    if ended.error is not None:
        end = f"{ended.time!r} raised {type(ended.error).__qualname__}"
    return [*world.trace_lines(), end]


def _trace_elsewhere(
    program: object, seed: int, hash_seed: int, max_steps: int, control: Control
) -> Sequence[str]:
    home = home_of(program)
    if home is None:
        raise ValueError(
            f"{title_of(program)} is not at the top level of a module, so another process cannot find it: "
            "move it there, or compare two runs in this process with hash_seed=None"
        )
    if os.environ.get(_CHILD):
        raise ValueError(
            "the module of the program calls check_deterministic while it is imported: "
            'put the call under if __name__ == "__main__"'
        )
    command = [
        *(sys.executable, "-m", "agentflow_trio.testing", home, "--trace"),
        *("--seed", str(seed), "--max-steps", str(max_steps), "--control", control),
    ]
    environment = {
        **os.environ,
        _CHILD: "1",
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    # the interpreter itself, with the path of a file that runs here already
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        told = "\n".join(done.stderr.strip().splitlines()[-_LAST:])
        raise ValueError(f"{home} did not run in another process:\n{told}")
    lines: list[str] = json.loads(done.stdout.splitlines()[-1])
    return lines
