"""The command ``agentflow profile`` (needs cyclopts).

Layer: cli. Rules: those of `app`; what a file of events lacks is said on stderr, and the rest is profiled; what makes
profiles is loaded when one is made, since other commands do not need it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

from .. import observe
from ._exit import ExitCode, UsageError
from ._files import keep_apart
from ._showing import shown
from .answers import answering, write_file, write_json, write_text

__all__ = ["profile"]

_NARROWEST: Final = 60
_LINES: Final = 20_000
"""About a second's worth of reading."""


def profile(
    events: Annotated[
        str,
        Parameter(
            help="File that `agentflow run --events` has written; - reads standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    html: Annotated[
        Path | None,
        Parameter(help="Write a page with a timeline to this file as well.", metavar="FILE"),
    ] = None,
    as_json: Annotated[
        bool,
        Parameter(
            "--json",
            show_default=False,
            help="Print one JSON object: runs, counts, places, critical, guards, failures; times in seconds.",
        ),
    ] = False,
    top: Annotated[
        int | None,
        Parameter(
            help="Only so many places, and stretches of the critical path.",
            validator=Number(gte=1),
        ),
    ] = None,
) -> ExitCode:
    """Say where the time of runs went: a table of places, and the critical path of the slowest run."""

    def work(answer: TextIO) -> ExitCode:
        keep_apart({"--html": html}, {"EVENTS": events})
        made = _profile_of(events)
        if html is not None:
            write_file(html, observe.report_html(made))
        if as_json:
            write_json(answer, _as_data(made, top))
        else:
            width = max(shutil.get_terminal_size((100, 24)).columns, _NARROWEST)
            write_text(answer, shown(made.table(width=width, top=top)))
        return ExitCode.SUCCESS

    return answering(work, as_json=as_json)


def _profile_of(source: str) -> observe.Profile:
    name = "standard input" if source == "-" else source

    def tell(sentence: str) -> None:
        sys.stderr.write(shown(f"warning: {name}, {sentence}\n"))

    try:
        with _lines(source) as lines:
            made = observe.Profile.of(observe.read_events(_watched(lines, name), tell=tell))
    except OSError as error:
        raise UsageError(problem=f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(problem=f"{name} is not in UTF-8: {error.reason}") from error
    except observe.EventLineError as error:
        place = f"line {error.line}" + (f", field {error.field!r}" if error.field else "")
        raise UsageError(
            problem=f"{name}, {place}: {error.problem}", hint=f"To do: {error.remedy}."
        ) from error
    if not made.runs:
        raise UsageError(
            problem=f"{name} has no events of a run",
            hint="Make some with: agentflow run TARGET --events FILE",
        )
    return made


@contextmanager
def _lines(source: str) -> Generator[TextIO]:
    if source == "-":
        yield sys.stdin
        return
    with Path(source).open(encoding="utf-8-sig") as file:
        yield file


def _watched(lines: Iterable[str], name: str) -> Iterator[str]:
    """*lines*, counted on a terminal while they are read: 200 MB take some twenty seconds."""
    if not sys.stderr.isatty():
        yield from lines
        return
    said = False
    for number, line in enumerate(lines):
        if number and number % _LINES == 0:
            sys.stderr.write(f"\r{name}: {number:,} events read")
            sys.stderr.flush()
            said = True
        yield line
    if said:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _as_data(made: observe.Profile, top: int | None) -> Mapping[str, Any]:
    return {
        "runs": [attrs.asdict(run) for run in made.runs],
        "counts": attrs.asdict(made.counts),
        "places": [attrs.asdict(place) for place in made.places[:top]],
        "critical": [attrs.asdict(share) for share in made.shares()[:top]],
        "guards": [attrs.asdict(guard) for guard in made.guards],
        "failures": [attrs.asdict(failure) for failure in made.failures],
    }
