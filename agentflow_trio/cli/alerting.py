"""The commands ``agentflow alerts check`` and ``agentflow alerts export`` (needs cyclopts and rich).

Layer: cli.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TextIO, TypeAlias

from cyclopts import App, Parameter
from rich.text import Text

from ..observe import AlertRule, AlertRulesError, RuleProblem, as_prometheus, load_rules
from ._board import places
from ._exit import ExitCode, UsageError
from ._files import keep_apart
from ._loading import did_you_mean, find_flow
from ._results import rules_as_data
from ._showing import shown
from .answers import Page, answering, write_file, write_json, write_text

__all__ = ["alerting"]

alerting: App = App(
    name="alerts",
    help="Check rules of alerts, and export them to Prometheus.",
    version_flags=[],
)

_Rules: TypeAlias = Annotated[Path, Parameter(help="TOML file with a table [[rule]] for each.")]


@alerting.command
def check(
    rules: _Rules,
    /,
    *,
    target: Annotated[
        str | None,
        Parameter(
            help="Module or file, with :name if it has several flows: conditions must name its steps.",
            metavar="TARGET",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        Parameter(
            "--json",
            show_default=False,
            help="Print one JSON object: file, rules, problems; or error.",
        ),
    ] = False,
) -> ExitCode:
    """Report every mistake in a file of rules, with its line, rule, field and remedy."""

    def work(answer: TextIO) -> ExitCode:
        _find(rules)
        known = None if target is None else [*places(find_flow(target))]
        problems: tuple[RuleProblem, ...] = ()
        found: tuple[AlertRule, ...] = ()
        try:
            found = load_rules(rules, places=known)
        except AlertRulesError as error:
            problems = error.problems
        if as_json:
            write_json(answer, rules_as_data(str(rules), found, problems))
            return ExitCode.FAILED if problems else ExitCode.SUCCESS
        console = Page(file=answer, soft_wrap=True, highlight=False)
        for problem in problems:
            where, _, sentence = shown(str(problem)).partition(": ")
            console.print(Text.assemble((f"{where}: ", "bold"), sentence))
        if found:
            count = f"{len(found)} rule{'s' * (len(found) > 1)}"
            console.print(Text.assemble((f"{rules}: ", "bold"), ("ok", "green"), f", {count}"))
        return ExitCode.FAILED if problems else ExitCode.SUCCESS

    return answering(work, as_json=as_json)


@alerting.command
def export(
    rules: _Rules,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(help="Write to this file instead of stdout.", metavar="FILE")
    ] = None,
) -> ExitCode:
    """Write the same rules for Prometheus, as a rules file (JSON, which is YAML)."""

    def work(answer: TextIO) -> ExitCode:
        _find(rules)
        keep_apart({"--output": output}, {"RULES": rules})
        try:
            text = as_prometheus(load_rules(rules))
        except AlertRulesError as error:
            raise UsageError(
                problem=f"{rules} is not right:", details=tuple(map(str, error.problems))
            ) from error
        if output is None:
            write_text(answer, text)
        else:
            write_file(output, text)
        return ExitCode.SUCCESS

    return answering(work, as_json=False)


def _find(rules: Path) -> None:
    """Make sure that there is such a file.

    Raises:
        UsageError: there is none.
    """
    if not rules.is_file():
        near = did_you_mean(
            rules.name, sorted(path.name for path in rules.parent.glob("*.toml"))
        )
        raise UsageError(problem=f"there is no file {rules}{near}")
