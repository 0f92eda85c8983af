"""``python -m agentflow_trio.testing FILE.py:PROGRAM``: search its schedules, repeat one, or write a trace.

Layer: testing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from ._determinism import trace_of
from ._explore import explore
from ._private import Control
from ._search_core import POLICIES

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code: 1 if a schedule fails."""
    parser = _parser()
    given = parser.parse_args(arguments)
    program, check = _find(parser, given.program), None
    if given.check is not None:
        check = _find(parser, given.check)
    if given.trace:
        lines = trace_of(
            program, seed=given.seed, max_steps=given.max_steps, control=given.control
        )
        print(json.dumps(list(lines)))  # noqa: T201 - what was asked for
        return 0
    found = explore(
        program,
        seeds=given.seeds,
        first_seed=given.seed,
        policy=given.policy,
        check=check,
        max_steps=given.max_steps,
        control=given.control,
        replay=given.replay,
    )
    print(found)  # noqa: T201 - what was asked for
    return 1 if found.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agentflow_trio.testing",
        description="Run an async function under many schedules, in virtual time, until one fails.",
    )
    parser.add_argument("program", help="FILE.py:NAME or MODULE:NAME of an async function")
    parser.add_argument(
        "--check", help="a function, named likewise, that is given what the program returned"
    )
    parser.add_argument(
        "--seeds", type=int, default=100, help="schedules to try (default: 100)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the first of their seeds (default: 0)"
    )
    parser.add_argument("--policy", choices=POLICIES, default="portfolio", help="how to search")
    parser.add_argument(
        "--replay", metavar="CODE", help="run the one schedule that CODE stands for"
    )
    parser.add_argument(
        "--max-steps", type=int, default=50_000, help="steps after which it counts as stuck"
    )
    parser.add_argument(
        "--control",
        choices=get_args(Control),
        default="order",
        help="how much of Trio's order to choose",
    )
    parser.add_argument(
        "--trace", action="store_true", help="run once and print what happens, as JSON"
    )
    return parser


def _find(parser: argparse.ArgumentParser, place: str) -> Any:
    """What *place* names."""
    where, _, name = place.rpartition(":")
    try:
        module = (
            _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        )
        return getattr(module, name)
    except (ImportError, OSError, ValueError, AttributeError) as error:
        parser.error(f"cannot find {place!r} (FILE.py:NAME or MODULE:NAME): {error}")


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
