"""What a command found out, as data for ``--json``.

Layer: cli. Rule: one JSON object, whatever happened; ``error`` is there exactly when the exit code is not 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from ..errors import Failure, FlowAbortedError, FlowFailedError, RunCancelledError
from ..events import AlertEvent
from ..observe import AlertRule, RuleProblem
from ..types import RunResult
from ._checking import Checked
from ._exit import UsageError
from ._showing import state_as_data

if TYPE_CHECKING:
    from ..robustness import Drilled

__all__ = [
    "besides_as_data",
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


def besides_as_data(
    drilled: Mapping[str, Drilled | None], alerts: Sequence[AlertEvent] | None
) -> Data:
    """What chaos did and which alerts were told, each if that was asked for."""
    found: dict[str, Any] = {}
    if drilled:
        found["chaos"] = {
            name: {
                "calls": 0 if did is None else did.calls,
                "struck": 0 if did is None else did.struck,
                "injected": {} if did is None else dict(did.injected),
            }
            for name, did in drilled.items()
        }
    if alerts is not None:
        found["alerts"] = [
            {"event_type": event.event_type, **attrs.asdict(event, filter=_says)}
            for event in alerts
        ]
    return found


def _says(field: attrs.Attribute[Any], _: object) -> bool:
    return field.name not in {"run_id", "seq", "path"}  # it belongs to no run


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
