"""How a command answers people: states, failures, lists of problems (needs rich).

Layer: cli. Rule: plain text wherever it does not go to a terminal; nothing of a name or value is markup.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO

import attrs
from rich.console import Console
from rich.pretty import Pretty
from rich.text import Text

from ..errors import CodecError, FlowAbortedError, FlowFailedError, RunCancelledError
from ._checking import Checked
from ._exit import ExitCode, UsageError
from ._results import failure_as_data, result_as_data, usage_as_data
from ._running import Outcome

__all__ = ["answering", "list_checks", "tell", "write_json"]


def answering(work: Callable[[TextIO], ExitCode], *, as_json: bool) -> ExitCode:
    """Let *work* write to stdout, and nobody else; say what is wrong if it cannot be done."""
    answer = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return work(answer)
    except UsageError as error:
        if as_json:
            write_json(answer, usage_as_data(error))
        else:
            _complain(str(error))
        return ExitCode.USAGE


def write_json(answer: TextIO, data: Mapping[str, Any]) -> None:
    """Write *data* as one JSON object."""
    answer.write(json.dumps(data, indent=2) + "\n")


def tell(outcome: Outcome[Any], answer: TextIO, *, as_json: bool) -> ExitCode:
    """Print the final state of a run, or what failed; return the exit code."""
    if outcome.result is None:
        return _tell_failure(outcome, answer, as_json=as_json)
    if not as_json:
        Console(file=answer, soft_wrap=True).print(Pretty(outcome.result.state))
        return outcome.code
    try:
        data = result_as_data(outcome.result)
    except CodecError as error:
        return _tell_failure(
            attrs.evolve(outcome, code=ExitCode.FAILED, error=error), answer, as_json=True
        )
    write_json(answer, data)
    return outcome.code


def _tell_failure(outcome: Outcome[Any], answer: TextIO, *, as_json: bool) -> ExitCode:
    if as_json:
        write_json(answer, failure_as_data(outcome.run_id, outcome.error))
    else:
        _complain(_report(outcome.error))
    return outcome.code


def _report(error: BaseException | None) -> str:
    if isinstance(error, FlowFailedError | FlowAbortedError):
        return error.report()
    cut_off = error.cut_off if isinstance(error, RunCancelledError) else ()
    where = (f"  {cut.phase} of {cut.path}, after {cut.elapsed:.3g} s" for cut in cut_off)
    return "\n".join((str(error), *where))


def _complain(text: str) -> None:
    first, line_break, rest = text.partition("\n")
    _err().print(Text.assemble(("error: ", "bold red"), first, line_break, rest))


def list_checks(
    checks: Iterable[Checked], errors: Iterable[UsageError], answer: TextIO
) -> None:
    """Print what is right and what is wrong: a line for each flow and for each mistake."""
    console = Console(file=answer, soft_wrap=True, highlight=False)
    for checked in checks:
        for finding in checked.findings:
            where = f"{finding.file}:{finding.line}: "
            console.print(
                Text.assemble(
                    (where, "bold"), (finding.definition, "red"), f": {finding.problem}"
                )
            )
        for name in checked.passed_over:
            console.print(
                Text.assemble(
                    (f"{checked.place}: ", "bold"),
                    (f"{name} was not checked", "yellow"),
                    "; it uses something wrong",
                )
            )
        for name, flow in checked.flows.items():
            count = len(flow.edges)
            console.print(
                Text.assemble(
                    (f"{checked.place}:{name}: ", "bold"),
                    ("ok", "green"),
                    f", {count} step{'s' * (count > 1)}",
                )
            )
    for error in errors:
        _complain(str(error))


def _err() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False)
