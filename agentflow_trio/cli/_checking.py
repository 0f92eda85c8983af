"""What ``agentflow check`` finds: every mistake of every flow of a module, not only the first.

A mistake in a flow is raised where the flow is defined, which ends an import. So the module is run statement
by statement: one that defines a wrong flow or step is noted, and what uses it is passed over. Layer: cli.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any, final

import attrs

from ..errors import DefinitionError, Problem
from ..flow import Flow, Step
from ._exit import UsageError
from ._loading import (
    Target,
    did_you_mean,
    find_module,
    flows_in,
    readable_errors,
    shown,
    user_frames,
)

__all__ = ["Checked", "Finding", "check"]


@final
@attrs.frozen
class Finding:
    """One mistake.

    Attributes:
        file: where it is, as short as can be said.
        line: the line of wiring it is about, or of the definition.
        definition: ``flow 'editing'`` or ``step 'write'``.
        problem: what is wrong.
    """

    file: str
    line: int
    definition: str
    problem: Problem


@final
@attrs.frozen
class Checked:
    """What became of one target.

    Attributes:
        place: the module or file.
        flows: those that are right, by name.
        findings: the mistakes, in the order written.
        passed_over: names that could not be checked because they use something wrong.
    """

    place: str
    flows: dict[str, Flow[Any, ...]]
    findings: tuple[Finding, ...]
    passed_over: tuple[str, ...]


def check(text: str) -> Checked:
    """Import what *text* names and find all mistakes in its flows and steps.

    Raises:
        UsageError: it is not there, has no flow, or cannot be imported for another reason.
    """
    target = Target.parse(text)
    with readable_errors(target):
        spec = find_module(target)
        source = _source(spec)
        if source is None or spec.name in sys.modules:
            ran = _Ran(importlib.import_module(spec.name))
        else:
            ran = _run(spec, source)
    flows = flows_in(ran.module)
    findings, passed_over = tuple(ran.findings), tuple(ran.passed_over)
    wrong = {finding.definition for finding in findings}
    if (
        target.flow
        and target.flow not in flows
        and target.flow not in passed_over
        and f"flow {target.flow!r}" not in wrong
    ):
        raise UsageError(
            problem=f"there is no flow {target.flow!r} in {target.place}{did_you_mean(target.flow, flows)}"
        )
    if not flows and not findings:
        raise UsageError(
            problem=f"there is no flow in {target.place}", hint="A flow is made with @flow."
        )
    if target.flow:
        flows = {name: flow for name, flow in flows.items() if name == target.flow}
    return Checked(target.place, flows, findings, passed_over)


@final
@attrs.frozen
class _Ran:
    """A module as far as it could be run, what was wrong, and the names that depend on it."""

    module: ModuleType
    findings: list[Finding] = attrs.field(factory=list[Finding])
    passed_over: list[str] = attrs.field(factory=list[str])


def _source(spec: ModuleSpec) -> str | None:
    return (
        spec.loader.get_source(spec.name) if isinstance(spec.loader, SourceFileLoader) else None
    )


def _run(spec: ModuleSpec, source: str) -> _Ran:
    tree = ast.parse(source, str(spec.origin))
    flags = _future_flags(tree)
    ran = _Ran(importlib.util.module_from_spec(spec))
    lost: list[str] = []
    sys.modules[spec.name] = ran.module
    try:
        for statement in tree.body:
            code = compile(
                ast.Module([statement], []), str(spec.origin), "exec", flags, dont_inherit=True
            )
            try:
                exec(code, vars(ran.module))  # noqa: S102 - what an import does, one statement at a time
            except DefinitionError as error:
                ran.findings.extend(_findings(error, statement, ran.module))
                lost.extend(_defined(statement))
            except NameError as error:
                if error.name not in lost:
                    raise
                lost.extend(_defined(statement))
                ran.passed_over.extend(_defined(statement))
    except BaseException:
        del sys.modules[spec.name]
        raise
    if ran.findings:  # whoever imports it next is to hear of them too
        del sys.modules[spec.name]
    return ran


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


def _defined(statement: ast.stmt) -> Iterator[str]:
    """The names that *statement* would have given a value."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.ImportFrom | ast.Import):
        yield from (alias.asname or alias.name for alias in statement.names)
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _findings(
    error: DefinitionError, statement: ast.stmt, module: ModuleType
) -> Iterator[Finding]:
    frame = user_frames(error)[-1]
    line = frame.lineno or statement.lineno
    for problem in error.problems:
        place = line
        if frame.filename == module.__file__ and isinstance(statement, ast.FunctionDef):
            place = _wiring_line(statement, problem.step, module) or line
        yield Finding(shown(frame.filename), place, f"{error.what} {error.name!r}", problem)


def _wiring_line(function: ast.FunctionDef, step: str, module: ModuleType) -> int | None:
    """The first line of *function* that wires the step called *step*."""
    names = {
        name
        for name, value in vars(module).items()
        if isinstance(value, Step) and value.name == step
    }
    lines = [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.attr in {"then", "to"} and node.value.id in names
    ]
    return min(lines, default=None)
