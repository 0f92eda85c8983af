"""``python -m agentflow_trio.testing FILE.py:PROGRAM``: search its schedules, repeat one, cancel it everywhere.

Layer: testing.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from inspect import isclass, iscoroutinefunction, isfunction
from typing import Any, Final, final, get_args

import attrs

from ._cancel import cancel_everywhere
from ._code_core import parse
from ._determinism import trace_of
from ._errors import (
    ControlError,
    NestedSimulationError,
    ReplayCodeError,
    UnusedFaultError,
)
from ._explore import explore
from ._faults import Faults
from ._named import Named, NotFoundError
from ._own_frames import own_traceback
from ._private import Control
from ._program import body_of, title_of
from ._search_core import POLICIES, Policy

__all__ = ["main"]

_EXAMPLES: Final = """\
A program is an async function at the top level of a file or module. It takes nothing, or dice (a random.Random). It fails
if it raises, if --check raises, or if it is stuck. What is reported as "replay" repeats a failure: paste it.

examples:
  python -m agentflow_trio.testing race.py:program --seeds 500
  python -m agentflow_trio.testing race.py:program --check no_update_lost --policy preemptions
  python -m agentflow_trio.testing race.py:program --replay os17:3,9.2
  python -m agentflow_trio.testing shop.py:checkout --state Cart --faults card_declined
  python -m agentflow_trio.testing pool.py:program --cancel

exit code: 0 no schedule fails; 1 one does; 2 the command makes no sense, as is said on stderr
"""

_UNUSABLE: Final = (
    ControlError,
    NestedSimulationError,
    NotFoundError,
    ReplayCodeError,
    UnusedFaultError,
)


@final
class _Given(argparse.Namespace):
    """What was typed."""

    program: str
    check: str | None
    state: str | None
    faults: str | None
    service: list[str]
    seeds: int | None
    seed: int
    policy: Policy
    max_steps: int | None
    control: Control
    replay: str | None
    cancel: bool
    trace: bool


@final
@attrs.frozen
class _Things:
    """What was named."""

    program: Any
    check: Any
    state: Any
    faults: Faults | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code: 0 if nothing fails, 1 if something does, 2 if it makes no sense."""
    given = _parser().parse_args(arguments, _Given())
    try:
        things = _things(given)
        if given.trace:
            return _trace(given, things)
        return _cancel(given, things) if given.cancel else _search(given, things)
    except _UNUSABLE as error:
        sys.stderr.write(f"error: {error}\n(--help says what can be typed)\n")
        return 2


def _things(given: _Given) -> _Things:
    """Find what was named, and see whether it can be used before anything is run."""
    if given.replay is not None and parse(given.replay).cancel is not None:
        given.cancel = True
    named = Named()
    program = named.find(given.program)
    check, state, faults = (
        None if place is None else named.find(place, near=given.program)
        for place in (given.check, given.state, given.faults)
    )
    if check is not None and not callable(check):
        raise NotFoundError(problem=f"--check {given.check}: {check!r} is no function")
    if faults is not None and not isinstance(faults, Faults):
        raise NotFoundError(problem=f"--faults {given.faults}: {faults!r} is no Faults(...)")
    if isclass(program) or (isfunction(program) and not iscoroutinefunction(program)):
        raise NotFoundError(problem=f"{given.program} is not async: write 'async def'")
    made = state() if callable(state) else state
    try:
        body_of(program, made)
    except TypeError as error:
        raise NotFoundError(problem=f"{given.program}: {error}") from None
    if made is not None and (given.cancel or given.trace):
        raise NotFoundError(
            problem="--state is for a search; write a function that runs the flow"
        )
    return _Things(program, check, made, faults)


# ---------------------------------------------------------------- what can be done


def _search(given: _Given, things: _Things) -> int:
    found = explore(
        *([things.program] if things.state is None else [things.program, things.state]),
        seeds=given.seeds or 100,
        first_seed=given.seed,
        policy=given.policy,
        check=things.check,
        faults=things.faults,
        services=given.service,
        max_steps=given.max_steps or 50_000,
        control=given.control,
        replay=given.replay,
    )
    for failure in found.failures:
        failure.error.__notes__.remove(str(failure))
        told = attrs.evolve(failure, command=_command(given, failure.code))
        sys.stdout.write(f"{own_traceback(failure.error)}\n{told}\n")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


def _cancel(given: _Given, things: _Things) -> int:
    try:
        count = cancel_everywhere(
            things.program,
            check=things.check,
            seeds=given.seeds or 1,
            faults=things.faults,
            services=given.service,
            max_steps=given.max_steps or 5_000,
            control=given.control,
            replay=given.replay,
        )
    except _UNUSABLE:
        raise
    except Exception as error:  # noqa: BLE001 - what the program or the check raised
        sys.stdout.write(own_traceback(error))
        return 1
    sys.stdout.write(f"{title_of(things.program)} was cancelled {count} times: no failure\n")
    return 0


def _trace(given: _Given, things: _Things) -> int:
    lines = trace_of(
        things.program,
        seed=given.seed,
        max_steps=given.max_steps or 50_000,
        control=given.control,
    )
    sys.stdout.write(f"\n{json.dumps(list(lines))}\n")
    return 0


def _command(given: _Given, code: str) -> str:
    """What was typed, but for that one schedule alone."""
    words = ["python", "-m", "agentflow_trio.testing", given.program, *_settings(given)]
    return shlex.join([*words, "--replay", code])


def _settings(given: _Given) -> Iterator[str]:
    for name in ("check", "state", "faults"):
        value: str | None = getattr(given, name)
        if value is not None:
            yield from (f"--{name}", value)
    for service in given.service:
        yield from ("--service", service)
    if given.max_steps is not None:
        yield from ("--max-steps", str(given.max_steps))
    if given.control != "order":
        yield from ("--control", given.control)


# ---------------------------------------------------------------- what can be typed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agentflow_trio.testing",
        description="Run an async function under many schedules, in virtual time, until one fails; make that one short.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "program",
        metavar="PROGRAM",
        help="FILE.py:NAME or MODULE:NAME of a program, or of a flow",
    )
    add(
        "--check",
        metavar="NAME",
        help="function that looks at what the program returned, and raises if that is wrong",
    )
    add(
        "--state",
        metavar="NAME",
        help="for a flow: its state, or what makes it; every schedule gets a copy",
    )
    add(
        "--faults",
        metavar="NAME",
        help="Faults(...) to be injected; like --check, in the same file or FILE.py:NAME",
    )
    add(
        "--service",
        metavar="TASK",
        action="append",
        default=[],
        help="task that ticks for ever and hides no deadlock; may be repeated",
    )
    add(
        "--seeds",
        metavar="N",
        type=_count,
        help="schedules to try (default: 100; with --cancel: 1)",
    )
    add(
        "--seed", metavar="N", type=int, default=0, help="the first of their seeds (default: 0)"
    )
    add(
        "--policy",
        choices=POLICIES,
        default="portfolio",
        help="how to search (default: portfolio, all others in turn)",
    )
    add(
        "--max-steps",
        metavar="N",
        type=_count,
        help="steps after which it counts as stuck (default: 50000; with --cancel: 5000)",
    )
    add(
        "--control",
        choices=get_args(Control),
        default="order",
        help="how much of Trio's order to choose (default: order, all of it)",
    )
    do = parser.add_argument_group("instead of a search").add_mutually_exclusive_group()
    parser.add_argument(
        "--replay", metavar="CODE", help="run the one schedule that CODE stands for"
    )
    do.add_argument(
        "--cancel",
        action="store_true",
        help="cancel it before each of its steps in turn; --check gets a Cut",
    )
    do.add_argument(
        "--trace",
        action="store_true",
        help="run it once and print what happens, as a JSON list of lines",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
