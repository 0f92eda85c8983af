"""The commands and their options (needs cyclopts and rich).

Layer: cli. Rules: stdout gets the answer alone (state, picture, list), everything else goes to stderr, also
what nodes print; a command returns its exit code, and a `UsageError` ends it with 2 before anything ran; with
``--json`` stdout gets one JSON object, also if the options are wrong, unless the process is interrupted.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TextIO, TypeAlias

import trio
from cyclopts import App, CycloptsError, CycloptsPanel, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.panel import Panel

from ..errors import StateTypeError
from ..flow import Flow
from ..flow.pictures import to_dot, to_mermaid, to_text
from ._board import Board
from ._checking import Checked
from ._checking import check as check_target
from ._drilling import drilling
from ._exit import MEANING, ExitCode, UnwrittenError, UsageError
from ._files import keep_apart
from ._inputs import make_state
from ._lines import Lines
from ._loading import Target, find_flow, names_beside
from ._observing import Looks, Observing
from ._resources import Resources
from ._results import besides_as_data, checks_as_data, usage_as_data
from ._running import View, carry_out
from ._showing import remembering, shown, shown_traceback
from .alerting import alerting
from .answers import Page, answering, list_checks, tell, write_file, write_json, write_text
from .profiling import profile
from .progress import Display
from .simulating import simulate

__all__ = ["app", "dispatch"]

_PICTURES: Final[Mapping[str, Callable[[Flow[Any, ...]], str]]] = {
    "mermaid": to_mermaid,
    "dot": to_dot,
    "text": to_text,
}

_EXAMPLES: Final = """\
Examples:
  agentflow check editorial.py                    is it wired rightly?
  agentflow graph editorial.py --format mermaid   a picture for the README
  agentflow run editorial.py:editorial --set topic=trio --set author.name=Ada
  agentflow run news.flows:editorial --input article.json --json | jq .state
  agentflow run editorial.py --input - --timeout 60 --events run.jsonl
  agentflow run editorial.py --metrics-port 9464 --report run.html --log json
  agentflow profile run.jsonl --html run.html     where did the time go?
  agentflow run news.py --chaos model=0.1          a drill: does it cope?
  agentflow simulate race.py:program --svg race.svg   which order breaks it?

A target is a module (news.flows) or a file (editorial.py), with :name if it
has several flows.

Exit codes:
"""


def _version() -> str:
    try:
        return importlib.metadata.version("agentflow_trio")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "unknown (not installed)"


app: App = App(
    name="agentflow",
    help="Run, check and draw flows made with agentflow_trio.",
    help_format="plaintext",
    help_epilogue=_EXAMPLES
    + "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANING.items()),
    version=_version,
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(negative=()),
)


@contextmanager
def _view(
    flow: Flow[Any, ...], *, live: bool, log: Literal["console", "json"] | None
) -> Generator[View]:
    """A log if that was asked for, a table that is redrawn if stderr is a terminal that can, plain lines otherwise."""
    console = Console(stderr=True)
    if log is not None:
        from ._logged import Logged  # noqa: PLC0415 - structlog takes 26 ms

        logged = Logged(log, sys.stderr)
        with logged.taking():
            yield logged
    elif sys.stderr.isatty() and not console.is_dumb_terminal:
        yield Display(Board(flow), console, live=live)
    else:
        yield Lines(sys.stderr)


def dispatch(tokens: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # what the terminal cannot spell is escaped, as on stderr
        reconfigure(errors="backslashreplace")
    with remembering():
        return _told(tokens)


def _told(tokens: Sequence[str]) -> int:
    try:
        return _carried_out(tokens, as_json="--json" in tokens)
    except UnwrittenError as error:
        sys.stderr.write(shown(f"error: {error}\n"))
        return ExitCode.USAGE
    except KeyboardInterrupt:  # while a module was imported; a run has its own handler
        sys.stderr.write("Ctrl-C: nothing was run\n")
        return ExitCode.INTERRUPTED
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        sys.stderr.write(shown(f"{error.code}\n"))  # what Python would print
        return ExitCode.FAILED
    except BaseException as error:  # noqa: BLE001 - Python would print it with all that is secret in it
        sys.stderr.write(shown_traceback(error))
        return ExitCode.FAILED


def _complaint(error: CycloptsError) -> Panel:
    return CycloptsPanel(shown(str(error)))


def _carried_out(tokens: Sequence[str], *, as_json: bool) -> int:
    try:
        code = app(
            tokens,
            exit_on_error=False,
            print_error=not as_json,
            console=Page(),
            error_console=Console(stderr=True),
            error_formatter=_complaint,
        )
    except CycloptsError as error:
        if as_json:
            write_json(sys.stdout, usage_as_data(UsageError(problem=str(error))))
        return ExitCode.USAGE
    return code if isinstance(code, int) else ExitCode.SUCCESS


_Target: TypeAlias = Annotated[
    str, Parameter(help="Module or file, with :name if it has several flows.")
]
_Json: TypeAlias = Annotated[bool, Parameter("--json", show_default=False)]


@app.command
def run(  # noqa: PLR0913 - options, all with a default
    target: _Target,
    /,
    *,
    source: Annotated[
        str | None,
        Parameter(
            "--input",
            help="JSON file with the state to begin with; - reads standard input.",
            metavar="FILE",
            allow_leading_hyphen=True,
        ),
    ] = None,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            "--set",
            help="key=value, laid over the input; may be repeated. The value is read as JSON if that fits the field, "
            "otherwise as text. Dots reach into nested fields.",
            metavar="KEY=VALUE",
            show_default=False,
        ),
    ] = (),
    timeout: Annotated[
        float | None,
        Parameter(help="Seconds for the whole run.", metavar="SECONDS", validator=Number(gt=0)),
    ] = None,
    grace: Annotated[
        float,
        Parameter(
            help="Seconds that steps and items in flight have to end after the first Ctrl-C or SIGTERM.",
            metavar="SECONDS",
            validator=Number(gte=0),
        ),
    ] = 5.0,
    seed: Annotated[
        int | None, Parameter(help="Seed of the run's dice, to repeat its draws.")
    ] = None,
    as_json: Annotated[
        _Json,
        Parameter(
            help="Print one JSON object: run_id, exit, state, duration, steps, visits; or error; and chaos, alerts, if asked for."
        ),
    ] = False,
    live: Annotated[
        bool,
        Parameter(
            "--live",
            show_default=False,
            help="On a terminal, show for everything that runs its phase, attempt, what it waits for, and the line.",
        ),
    ] = False,
    events: Annotated[
        Path | None,
        Parameter(help="Write every event to this file, a JSON object a line.", metavar="FILE"),
    ] = None,
    log: Annotated[
        Literal["console", "json"] | None,
        Parameter(
            help="Write records of a log to stderr in place of progress: console for people, json an object a line.",
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        Parameter(
            help="Serve metrics for Prometheus on this port of this machine while the run goes on; "
            "0 takes any that is free.",
            metavar="PORT",
            validator=Number(gte=0, lte=65_535),
        ),
    ] = None,
    alerts: Annotated[
        Path | None,
        Parameter(
            help="Look at the rules in this file, TOML, once a second; say what fires, and call the function beside the flow "
            "that a rule names as its action.",
            metavar="FILE",
        ),
    ] = None,
    trace: Annotated[
        str | None,
        Parameter(
            help="Send traces to this collector, OTLP over HTTP: http://localhost:4318.",
            metavar="URL",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        Parameter(help="Write where the time went to this file, as HTML.", metavar="FILE"),
    ] = None,
    resources: Annotated[
        str | None,
        Parameter(
            help="Function beside the flow that opens what its steps use: a context manager that gives {RESOURCE: value}.",
            metavar="NAME",
        ),
    ] = None,
    chaos: Annotated[
        tuple[str, ...],
        Parameter(
            help="Hold a drill: turn on the Chaos of this name, at this rate or its own; may be repeated.",
            metavar="NAME[=RATE]",
            show_default=False,
        ),
    ] = (),
) -> ExitCode:
    """Run a flow; its final state goes to stdout, progress to stderr.

    After the first Ctrl-C or SIGTERM the run ends as soon as what is in flight has; the second cancels that, cleanups
    included; the third ends the process at once.
    """

    def work(answer: TextIO) -> ExitCode:
        keep_apart(
            {"--events": events, "--report": report},
            {"TARGET": Target.parse(target).place, "--input": source, "--alerts": alerts},
        )
        flow = find_flow(target)
        try:
            kind = flow.state_type
        except StateTypeError as error:
            raise UsageError(problem=str(error)) from error
        state = make_state(kind, source, settings, sys.stdin)
        looks = Looks(
            events=events, metrics_port=metrics_port, alerts=alerts, trace=trace, report=report
        )
        beside = names_beside(target)
        with (
            _view(flow, live=live, log=log) as view,
            Observing(looks, beside) as observing,
        ):
            job = functools.partial(
                carry_out,
                flow,
                state,
                view,
                timeout=timeout,
                seed=seed,
                grace=grace,
                observing=observing,
                resources=Resources(resources, beside),
            )
            with drilling(chaos, view.say) as drilled:
                outcome = trio.run(job)
            besides = besides_as_data(drilled, observing.told)
            # while it is a log, also if the report below is slow to write
            return tell(outcome, answer, as_json=as_json, besides=besides, fail=view.fail)

    return answering(work, as_json=as_json)


@app.command
def check(
    targets: Annotated[
        tuple[str, ...], Parameter(help="Modules or files, each with :name for one flow of it.")
    ],
    /,
    *,
    as_json: Annotated[
        _Json,
        Parameter(
            help="Print one JSON object: flows, problems, not_checked, errors; and error, if it is not all well."
        ),
    ] = False,
) -> ExitCode:
    """Report every mistake in the flows of modules or files, with its line; list the flows that are right."""

    def work(answer: TextIO) -> ExitCode:
        checks: list[Checked] = []
        errors: list[UsageError] = []
        for target in targets:
            try:
                checks.append(check_target(target))
            except UsageError as error:
                errors.append(error)
        if as_json:
            write_json(answer, checks_as_data(checks, errors))
        else:
            list_checks(checks, errors, answer)
        if errors:
            return ExitCode.USAGE
        return (
            ExitCode.FAILED if any(checked.findings for checked in checks) else ExitCode.SUCCESS
        )

    return answering(work, as_json=as_json)


@app.command
def graph(
    target: _Target,
    /,
    *,
    picture: Annotated[
        Literal["mermaid", "dot", "text"],
        Parameter(
            "--format", help="mermaid for Markdown pages, dot for Graphviz, text for terminals."
        ),
    ] = "text",
    output: Annotated[
        Path | None, Parameter(help="Write to this file instead of stdout.", metavar="FILE")
    ] = None,
) -> ExitCode:
    """Draw a flow, with nested flows, caught errors and policies."""

    def work(answer: TextIO) -> ExitCode:
        keep_apart({"--output": output}, {"TARGET": Target.parse(target).place})
        text = _PICTURES[picture](find_flow(target))
        if output is None:
            write_text(answer, text)
        else:
            write_file(output, text)
        return ExitCode.SUCCESS

    return answering(work, as_json=False)


app.command(alerting)
app.command(profile)
app.command(simulate)
