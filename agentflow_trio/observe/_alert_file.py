"""Rules of alerts in a TOML file.

Layer: observe. Rule: all mistakes at once, each with its line, rule, field and remedy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import attrs

from .._typing import TypeIs
from ._alert_names_core import misnamed
from ._alert_rule import AlertRule, AlertRulesError, RuleProblem, problems_of
from ._condition_core import ConditionError, seconds

__all__ = ["load_rules"]

_EXAMPLE: Final = {
    "name": 'name = "many-errors"',
    "condition": 'condition = "rate(editing.error_count[60s])"',
    "threshold": "threshold = 0.5",
    "action": 'action = "log"',
}
_KEYS: Final = (*_EXAMPLE, "op", "for", "severity", "resolve_below")
_INSTEAD: Final = "write a table [[rule]] for each rule"
_UNKNOWN: Final = "it is not known here"
_TABLE: Final = re.compile(r"\s*\[\[\s*rule\s*\]\]")
_KEY: Final = re.compile(r"\s*([\w-]+)\s*=\s*(\"{3}|'{3})?")
_PLACE: Final = re.compile(r"(.*) \(at line (\d+), column \d+\)")


def load_rules(
    path: str | Path, *, places: Collection[str] | None = None
) -> tuple[AlertRule, ...]:
    """Read rules from a TOML file: a table ``[[rule]]`` for each, with the fields of `AlertRule`.

    ``for`` stands for ``for_`` and may be a text: ``for = "5m"``. Reads the file in one go; not a checkpoint.

    Args:
        path: the file.
        places: the path of a flow, and then those of all its steps (``editorial``, ``editorial/editing/review``), which
            conditions on flows and steps must name. Default: any may be meant.

    Raises:
        AlertRulesError: there are mistakes, with all of them; or the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        tables: Mapping[str, Any] = tomllib.loads(text)
    except OSError as error:
        raise _unread(
            path, f"it cannot be read: {error.strerror}", "give a TOML file"
        ) from error
    except UnicodeDecodeError as error:
        raise _unread(path, "it is not UTF-8", "save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.fullmatch(str(error))
        sentence, line = (found[1], int(found[2])) if found else (str(error), 0)
        raise _unread(
            path, f"it is not TOML: {sentence}", "correct that first", line
        ) from error
    rules, problems = _read(tables, places)
    if problems:
        lines = _lines(text)
        raise AlertRulesError(
            problems=tuple(_placed(problem, str(path), lines, at) for at, problem in problems)
        )
    return tuple(rules)


def _unread(path: str | Path, sentence: str, remedy: str, line: int = 0) -> AlertRulesError:
    problem = _problem("", "", sentence, remedy)
    return AlertRulesError(problems=(attrs.evolve(problem, file=str(path), line=line),))


def _read(
    tables: Mapping[str, Any], places: Collection[str] | None
) -> tuple[list[AlertRule], list[tuple[int, RuleProblem]]]:
    """The rules, and what is wrong: in which one, from 0, or -1 for none."""
    problems = [(-1, _problem("", key, _UNKNOWN, _INSTEAD)) for key in tables if key != "rule"]
    written: object = tables.get("rule", [])
    if not _is_tables(written):
        sentence = "'rule' is not a list of tables"
        return [], [*problems, (-1, _problem("", "", sentence, _INSTEAD))]
    if not written and not problems:
        return [], [(-1, _problem("", "", "there is no rule", _INSTEAD))]
    rules: list[AlertRule] = []
    numbers: dict[str, int] = {}
    for at, table in enumerate(written):
        name = _named(table, at)
        fields, found = _fields(table, name)
        if numbers.setdefault(name, at) != at:
            sentence = f"rule #{numbers[name] + 1} has that name, too"
            found.append(_problem(name, "name", sentence, "give each its own"))
        if not found:
            rules.append(AlertRule(**fields))
            found.extend(() if places is None else misnamed(rules[-1], places))
        problems += [(at, problem) for problem in found]
    return rules, problems


def _named(table: Mapping[str, Any], at: int) -> str:
    name: object = table.get("name")
    return name if isinstance(name, str) and name else f"#{at + 1}"


def _fields(table: Mapping[str, Any], rule: str) -> tuple[dict[str, Any], list[RuleProblem]]:
    """The fields of a rule, as `AlertRule` calls them, and what is wrong with them."""
    fields: dict[str, Any] = {}
    found = [
        _problem(rule, key, "it is missing", f"write {example}")
        for key, example in _EXAMPLE.items()
        if key not in table
    ]
    for key, value in table.items():
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_KEYS)}"
            found.append(_problem(rule, key, _UNKNOWN, remedy))
        elif key != "for":
            fields[key] = value
        elif isinstance(value, str):
            try:
                fields["for_"] = seconds(value)
            except ConditionError as error:
                found.append(_problem(rule, "for", error.problem, error.remedy))
        else:
            fields["for_"] = value
    for problem in problems_of(fields):
        field = "for" if problem.field == "for_" else problem.field
        found.append(_problem(rule, field, problem.sentence, problem.remedy))
    return fields, found


def _problem(rule: str, field: str, sentence: str, remedy: str) -> RuleProblem:
    return RuleProblem(rule=rule, field=field, sentence=sentence, remedy=remedy)


def _is_tables(value: object) -> TypeIs[Sequence[Mapping[str, Any]]]:
    """Whether *value* is a list of tables."""
    return _is_list(value) and all(isinstance(table, dict) for table in value)


def _is_list(value: object) -> TypeIs[list[object]]:
    return isinstance(value, list)


# ---------------------------------------------------------------- where it is written


def _lines(text: str) -> list[dict[str, int]]:
    """For each ``[[rule]]`` the lines of its fields; that of itself under an empty key."""
    found: list[dict[str, int]] = []
    quoted = ""  # the quotes of a text of many lines that has not ended
    for number, line in enumerate(text.splitlines(), start=1):
        if quoted:
            quoted = "" if quoted in line else quoted
        elif _TABLE.match(line):
            found.append({"": number})
        elif found and (key := _KEY.match(line)):
            found[-1].setdefault(key[1], number)
            if key[2] and line.count(key[2]) == 1:
                quoted = key[2]
    return found


def _placed(
    problem: RuleProblem, file: str, lines: Sequence[Mapping[str, int]], at: int
) -> RuleProblem:
    line = 0
    if 0 <= at < len(lines):
        line = lines[at].get(problem.field, lines[at][""])
    return attrs.evolve(problem, file=file, line=line)
