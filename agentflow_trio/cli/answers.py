"""How a command answers people: states, failures, lists of problems (needs rich).

Layer: cli. Rules: what is printed may be shown (see `_showing`); plain text wherever it does not go to a terminal; nothing of a name or value is markup;
what goes to stdout goes through `_writing`, so that an answer that is lost is said.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn, TextIO

import attrs
from rich.console import Console
from rich.pretty import Pretty
from rich.text import Text
from typing_extensions import override

from ..errors import CodecError, FlowAbortedError, FlowFailedError, RunCancelledError
from ._checking import Checked
from ._exit import ExitCode, UnwrittenError, UsageError
from ._results import failure_as_data, result_as_data, usage_as_data
from ._running import Outcome
from ._showing import shown, shown_data, shown_state
from .complaint import complain

__all__ = ["Page", "answering", "list_checks", "tell", "write_file", "write_json", "write_text"]


def answering(work: Callable[[TextIO], ExitCode], *, as_json: bool) -> ExitCode:
    """Let *work* write to stdout, and nobody else; say what is wrong if it cannot be done.

    Raises:
        UnwrittenError: stdout does not take the answer.
    """
    answer = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return work(answer)
    except UsageError as error:
        if as_json:
            write_json(answer, usage_as_data(error))
        else:
            complain(str(error))
        return ExitCode.USAGE


@contextlib.contextmanager
def _writing(answer: IO[str]) -> Generator[None]:
    """Write to *answer* within, to its end.

    Raises:
        UnwrittenError: it does not take all of it; it is closed then.
    """
    try:
        yield
        answer.flush()
    except OSError as error:
        # Closed, or Python would try to write the rest when it ends, and complain in its own words.
        with contextlib.suppress(OSError):
            answer.close()
        raise UnwrittenError(reason=error.strerror or str(error)) from error


class Page(Console):
    """A console for answers: it raises `UnwrittenError` if one cannot be written."""

    @override
    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console` does.

        Raises:
            UnwrittenError: it cannot be written.
        """
        with _writing(self.file):
            super().print(*objects, **options)

    @override
    def on_broken_pipe(self) -> NoReturn:
        """Raise what any other failure to write raises, where `Console` ends the process."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def write_text(answer: TextIO, text: str) -> None:
    """Write *text* as it is.

    Raises:
        UnwrittenError: it cannot be written.
    """
    with _writing(answer):
        answer.write(text)


def write_file(path: Path, text: str) -> None:
    """Write *text* as it is to the file at *path*, in place of what is there.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(problem=f"{path} cannot be written: {error.strerror}") from error


def write_json(answer: TextIO, data: Mapping[str, Any]) -> None:
    """Write *data* as one JSON object, as it may be shown; its keys are ours, or those of a state that was hidden already.

    Raises:
        UnwrittenError: it cannot be written.
    """
    write_text(answer, json.dumps(shown_data(data, keys=False), indent=2) + "\n")


def tell(
    outcome: Outcome[Any],
    answer: TextIO,
    *,
    as_json: bool,
    besides: Mapping[str, Any] | None = None,
    fail: Callable[[str], object] = complain,
) -> ExitCode:
    """Print the final state of a run, or what failed, to people by *fail*; return the exit code.

    *besides* is what the object of ``--json`` has further.
    """
    if outcome.result is None:
        return _tell_failure(outcome, answer, besides, fail, as_json=as_json)
    if not as_json:
        Page(file=answer, soft_wrap=True).print(Pretty(shown_state(outcome.result.state)))
        return outcome.code
    try:
        data = result_as_data(outcome.result)
    except CodecError as error:
        failed = attrs.evolve(outcome, code=ExitCode.FAILED, error=error)
        return _tell_failure(failed, answer, besides, fail, as_json=True)
    write_json(answer, {**data, **(besides or {})})
    return outcome.code


def _tell_failure(
    outcome: Outcome[Any],
    answer: TextIO,
    besides: Mapping[str, Any] | None,
    fail: Callable[[str], object],
    *,
    as_json: bool,
) -> ExitCode:
    if as_json:
        failed = failure_as_data(outcome.run_id, outcome.error)
        write_json(answer, {**failed, **(besides or {})})
    else:
        fail(_report(outcome.error))
    return outcome.code


def _report(error: BaseException | None) -> str:
    if isinstance(error, FlowFailedError | FlowAbortedError):
        return error.report()
    cut_off = error.cut_off if isinstance(error, RunCancelledError) else ()
    where = (f"  {cut.phase} of {cut.path}, after {cut.elapsed:.3g} s" for cut in cut_off)
    return "\n".join((str(error), *where))


def list_checks(
    checks: Iterable[Checked], errors: Iterable[UsageError], answer: TextIO
) -> None:
    """Print what is right and what is wrong: a line for each flow and for each mistake."""
    console = Page(file=answer, soft_wrap=True, highlight=False)
    for checked in checks:
        for finding in checked.findings:
            where = f"{finding.file}:{finding.line}: "
            console.print(
                Text.assemble(
                    (where, "bold"), (finding.definition, "red"), shown(f": {finding.problem}")
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
        complain(str(error))
