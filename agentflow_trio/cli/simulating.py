"""The command ``agentflow simulate`` (needs cyclopts).

Layer: cli. Rules: those of `app`; what is simulated is run in virtual time, whatever it does, and many times.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

from cyclopts import Parameter
from cyclopts.validators import Number

from ..errors import StateTypeError
from ._drilling import drilling
from ._exit import ExitCode, UsageError
from ._inputs import make_state
from ._programs import Beside, find_program, is_flow
from ._showing import shown
from .answers import answering, write_file, write_json, write_text

if TYPE_CHECKING:
    from ._simulations import Found

__all__ = ["simulate"]


def simulate(  # noqa: PLR0913 - options, all with a default
    target: Annotated[
        str,
        Parameter(help="Module or file, with :name of an async function or a flow in it."),
    ],
    /,
    *,
    seeds: Annotated[
        int,
        Parameter(help="How many schedules to try.", metavar="N", validator=Number(gte=1)),
    ] = 100,
    seed: Annotated[
        int | None,
        Parameter(help="Run what this seed makes of it, and search nothing.", metavar="N"),
    ] = None,
    replay: Annotated[
        str | None,
        Parameter(help="Run the one schedule that a report has named.", metavar="CODE"),
    ] = None,
    policy: Annotated[
        Literal["portfolio", "batch", "one-at-a-time", "priorities", "preemptions"],
        Parameter(help="How to search; portfolio is all others in turn."),
    ] = "portfolio",
    check: Annotated[
        str | None,
        Parameter(
            help="Function beside the target that is given what came of it, and raises if that is wrong.",
            metavar="NAME",
        ),
    ] = None,
    faults: Annotated[
        str | None,
        Parameter(help="Faults(...) beside the target: what fails besides.", metavar="NAME"),
    ] = None,
    services: Annotated[
        tuple[str, ...],
        Parameter(
            "--service",
            help="Task that ticks for ever and hides no deadlock; may be repeated.",
            metavar="TASK",
            show_default=False,
        ),
    ] = (),
    max_steps: Annotated[
        int,
        Parameter(
            help="Steps after which it counts as stuck.", metavar="N", validator=Number(gte=1)
        ),
    ] = 50_000,
    source: Annotated[
        str | None,
        Parameter(
            "--input",
            help="For a flow: JSON file with the state to begin with; - reads standard input.",
            metavar="FILE",
            allow_leading_hyphen=True,
        ),
    ] = None,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            "--set",
            help="For a flow: key=value, laid over the input; may be repeated.",
            metavar="KEY=VALUE",
            show_default=False,
        ),
    ] = (),
    chaos: Annotated[
        tuple[str, ...],
        Parameter(
            help="Turn on the Chaos of this name, at this rate or its own; may be repeated.",
            metavar="NAME[=RATE]",
            show_default=False,
        ),
    ] = (),
    svg: Annotated[
        Path | None,
        Parameter(
            help="Draw the run that fails, or if none does the run of seed 0, into this file.",
            metavar="FILE",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        Parameter(
            "--json",
            help="Print one JSON object: target, policy, schedules, steps, svg; and error, if a schedule fails.",
        ),
    ] = False,
) -> ExitCode:
    """Run an async function or a flow under many schedules, in virtual time, until one fails; make that one short.

    It fails if it raises, if --check raises, or if it is stuck. A command that repeats the failure is printed. Ctrl-C
    ends the search.
    """

    def work(answer: TextIO) -> ExitCode:
        from ._simulations import Asked, search, single  # noqa: PLC0415 - the simulator is only for this command

        if seed is not None and replay is not None:
            raise UsageError(problem="--seed and --replay each name one run; give one of them")
        program, beside = find_program(target)
        asked = Asked(
            subject=_subject(program, source, settings),
            words=_words(
                target,
                {"--check": check, "--faults": faults, "--input": source},
                {"--service": services, "--set": settings, "--chaos": chaos},
                max_steps,
            ),
            check=_check(beside, check),
            faults=_faults(beside, faults),
            services=services,
            max_steps=max_steps,
        )
        try:
            with drilling(chaos, lambda text: sys.stderr.write(f"{shown(text)}\n")):
                if seed is not None:
                    found = single(asked, seed)
                else:
                    terminal = sys.stderr if sys.stderr.isatty() else None
                    found = search(
                        asked, seeds=seeds, policy=policy, replay=replay, progress=terminal
                    )
                drawn = None if svg is None else _draw(found, svg)
        except KeyboardInterrupt:
            sys.stderr.write("Ctrl-C: the search was ended, and found nothing so far\n")
            return ExitCode.INTERRUPTED
        if as_json:
            write_json(answer, {"target": target, "svg": drawn, **found.data})
        else:
            write_text(answer, shown(f"{found.told}\n"))
        return ExitCode.FAILED if "error" in found.data else ExitCode.SUCCESS

    return answering(work, as_json=as_json)


# ---------------------------------------------------------------- what was typed


def _subject(program: Any, source: str | None, settings: tuple[str, ...]) -> tuple[Any, ...]:  # noqa: ANN401 - whatever the user has written
    if is_flow(program):
        try:
            kind = program.state_type
        except StateTypeError as error:
            raise UsageError(problem=str(error)) from error
        return program, make_state(kind, source, settings, sys.stdin)
    if source is not None or settings:
        raise UsageError(
            problem="--input and --set are for the state of a flow; an async function takes none"
        )
    return (program,)


def _check(beside: Beside, name: str | None) -> Any:  # noqa: ANN401 - whatever the user has written
    found = None if name is None else beside.find("--check", name)
    if name is not None and not callable(found):
        raise UsageError(problem=f"--check {name}: {found!r} is no function")
    return found


def _faults(beside: Beside, name: str | None) -> Any:  # noqa: ANN401 - see below
    from ..testing import Faults  # noqa: PLC0415 - the simulator is only for this command

    found = None if name is None else beside.find("--faults", name)
    if name is not None and not isinstance(found, Faults):
        raise UsageError(problem=f"--faults {name}: {found!r} is no Faults(...)")
    return found


def _words(
    target: str,
    single: Mapping[str, str | None],
    repeated: Mapping[str, tuple[str, ...]],
    max_steps: int,
) -> list[str]:
    """What was typed, but for what is searched."""
    words = [target]
    for option, value in single.items():
        words += [] if value is None else [option, value]
    for option, values in repeated.items():
        for value in values:
            words += [option, value]
    return words if max_steps == _MAX_STEPS else [*words, "--max-steps", str(max_steps)]


_MAX_STEPS = 50_000


def _draw(found: Found, path: Path) -> str:
    picture = found.timeline().to_svg()
    write_file(path, shown(picture))
    return str(path)
