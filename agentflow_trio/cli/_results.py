"""What a command found out, as data for ``--json``.

Layer: cli. Rule: one JSON object, whatever happened; ``error`` is there exactly when the exit code is not 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from ..errors import Failure, FlowAbortedError, FlowFailedError, RunCancelledError
from ..observe import AlertRule, RuleProblem
from ..types import RunResult
from ._checking import Checked
from ._exit import UsageError
from ._showing import state_as_data

__all__ = [
    "checks_as_data",
    "failure_as_data",
    "result_as_data",
    "rules_as_data",
    "usage_as_data",
]

Data: TypeAlias = Mapping[str, Any]


def result_as_data(result: RunResult[Any]) -> Data:
    """A run that ended well.

    Raises:
        CodecError: its state cannot be written as JSON.
    """
    return {
        "run_id": result.run_id,
        "exit": result.exit,
        "state": state_as_data(result.state),
        "duration": result.duration,
        "steps": result.steps,
        "visits": dict(result.visits),
    }


def failure_as_data(run_id: str, error: BaseException | None) -> Data:
    """A run that did not."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, FlowFailedError | FlowAbortedError):
        described["message"] = error.message
        described["failures"] = [
            {**_leaf(leaf, error.find(leaf)), "message": error.redact(str(leaf))}
            for leaf in error.leaves()
        ]
    if isinstance(error, RunCancelledError):
        described["cut_off"] = [attrs.asdict(cut) for cut in error.cut_off]
    return {"run_id": run_id, "error": described}


def _leaf(error: BaseException, mark: Failure | None) -> Data:
    where = {} if mark is None else attrs.asdict(mark)
    return {"type": type(error).__name__, "message": str(error), **where}


def usage_as_data(error: UsageError) -> Data:
    """A command that was not carried out."""
    return {
        "error": {
            "type": "UsageError",
            "message": error.problem,
            "details": list(error.details),
            "hint": error.hint,
        }
    }


def rules_as_data(
    file: str, rules: Sequence[AlertRule], problems: Sequence[RuleProblem]
) -> Data:
    """What ``alerts check`` found, and an ``error`` that sums it up if it is not all well."""
    found: dict[str, Any] = {
        "file": file,
        "rules": [rule.name for rule in rules],
        "problems": [attrs.asdict(problem) for problem in problems],
    }
    if problems:
        found["error"] = {
            "type": "AlertRulesError",
            "message": f"{len(problems)} problem{'s' * (len(problems) > 1)} found",
            "details": [*map(str, problems)],
            "hint": "",
        }
    return found


def checks_as_data(checks: Sequence[Checked], problems: Sequence[UsageError]) -> Data:
    """What ``check`` found, and an ``error`` that sums it up if it is not all well."""
    found: dict[str, Any] = {
        "flows": [
            {"target": f"{checked.place}:{name}", "name": flow.name, "steps": len(flow.edges)}
            for checked in checks
            for name, flow in checked.flows.items()
        ],
        "problems": [
            {
                "file": finding.file,
                "line": finding.line,
                "definition": finding.definition,
                **attrs.asdict(finding.problem),
            }
            for checked in checks
            for finding in checked.findings
        ],
        "not_checked": [
            f"{checked.place}:{name}" for checked in checks for name in checked.passed_over
        ],
        "errors": [str(problem) for problem in problems],
    }
    mistakes = [
        f"{finding.file}:{finding.line}: {finding.definition}: {finding.problem}"
        for checked in checks
        for finding in checked.findings
    ]
    counts = (
        (len(problems), "target", " cannot be checked"),
        (len(mistakes), "problem", " found"),
    )
    if problems or mistakes:
        found["error"] = {
            "type": "UsageError" if problems else "DefinitionError",
            "message": ", ".join(
                f"{count} {what}{'s' * (count > 1)}{became}"
                for count, what, became in counts
                if count
            ),
            "details": [*found["errors"], *mistakes],
            "hint": "",
        }
    return found
