"""What makes a shape right: rules over the branches of steps at once, and over what each and batch are given.

Layer: flow. Pure: looks at steps, nodes and numbers, runs nothing. Rule: all mistakes of one shape are found together,
also those that a checker would have told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from .._typing import TypeIs
from ..errors import Problem
from ..types import Count, Share
from ._inspect import helper_problems
from ._item_types import Fold
from ._node import BuiltIn
from ._over import is_per_item
from ._step import Step, node_problems
from ._words import listed

__all__ = ["branch_problems", "item_problems", "setting_problems"]

AnyStep: TypeAlias = Step[Any, ...]


# ---------------------------------------------------------------- steps at once


def branch_problems(shape: str, branches: Sequence[object]) -> Iterator[Problem]:
    """What is wrong with *branches* as those of a *shape*, ``parallel`` or ``race``."""
    if not branches:
        yield Problem("no_branches", "", f"{shape} has no branches", f"write {shape}(a, b)")
    steps: list[AnyStep] = []
    called: dict[str, list[AnyStep]] = {}  # among ten thousand, each is looked for once
    for branch in branches:
        if _is_step(branch):
            namesakes = called.setdefault(branch.name, [])
            yield from _double(shape, branch, namesakes)
            namesakes.append(branch)
            steps.append(branch)
        else:
            yield _no_step(shape, branch)
    if shape == "parallel":
        yield from _with_exits(steps)
    else:
        yield from _other_exits(steps)


def _no_step(shape: str, branch: object) -> Problem:
    hint = "place it in a step: Step(...)"
    if isinstance(branch, Sequence) and not isinstance(branch, str):
        hint = f"write {shape}(*branches)"
    return Problem("not_a_step", "", f"{shape} takes steps, not {branch!r}", hint)


def _double(shape: str, branch: AnyStep, namesakes: Sequence[AnyStep]) -> Iterator[Problem]:
    name = branch.name
    hint = f"give one of them a name of its own: .with_(name='{name}_2')"
    if any(branch is other for other in namesakes):
        yield Problem("branch_twice", name, f"{shape} has step {name!r} twice", hint)
    elif namesakes:
        sentence = f"two branches of {shape} are called {name!r}"
        yield Problem("duplicate_name", name, sentence, hint)


def _with_exits(steps: Sequence[AnyStep]) -> Iterator[Problem]:
    for branch in steps:
        if branch.exits:
            sentence = f"branch {branch.name!r} has exits, which parallel cannot follow"
            ends = ", ".join(f"{name}=END" for name in branch.exits)
            hint = f"wire it in a flow of its own that ends: {branch.name}.to({ends})"
            yield Problem("branch_exits", branch.name, sentence, hint)


def _other_exits(steps: Sequence[AnyStep]) -> Iterator[Problem]:
    for branch in steps[1:]:
        if sorted(branch.exits) != sorted(steps[0].exits):
            has, first = (_exits(step) for step in (branch, steps[0]))
            sentence = f"the branches of a race have the same exits, but {has} and {first}"
            hint = "wire one of them in a flow of its own that has the exits of the other"
            yield Problem("race_exits", branch.name, sentence, hint)


def _exits(step: AnyStep) -> str:
    return f"{step.name!r} has {listed(step.exits) if step.exits else 'none'}"


# ---------------------------------------------------------------- each and batch


def item_problems(shape: str, name: str, node: object) -> Iterator[Problem]:
    """What is wrong with *node*, called *name*, as what handles items in a *shape*, ``each`` or ``batch``."""
    if is_per_item(node):
        if shape == "batch":
            hint = f"write each({node.flow.name}.over(...), concurrent=8)"
            yield Problem("flow_batch", name, "a flow is run for one item at a time", hint)
        return
    if not isinstance(node, BuiltIn):
        yield from (_for_items(shape, problem) for problem in node_problems(name, node))
        return
    sentence = f"{shape} cannot give items to {name!r}, which works on a whole state"
    hint = "give it to a flow, and write each(that_flow.over(split, join), concurrent=8)"
    if node.inner_flow is not None:
        hint = f"write each({node.inner_flow.name}.over(split, join), concurrent=8)"
    yield Problem("no_item_node", name, sentence, hint)


def _for_items(shape: str, problem: Problem) -> Problem:
    """The *problem* of a node, with what to do about it in a *shape*."""
    match problem.code:
        case "node_class":
            hint = f"write {shape}(Name(...), ...)"
        case "step_of_step":
            hint = f"give {shape} the node, and Step(...) what {shape} returns"
        case "generator_phase" if problem.sentence.startswith("prep "):
            hint = (
                "put what yields in a method of its own and write "
                "'async def prep(self, ...): return self.items(...)', with into=fold(...)"
            )
        case _:
            hint = problem.hint
    return attrs.evolve(problem, hint=hint)


def setting_problems(
    shape: str, name: str, numbers: Mapping[str, object], tolerate: object, into: object
) -> Iterator[Problem]:
    """What is wrong with how a *shape* is to work on its items."""
    for setting, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            sentence = f"{shape}: {setting} must be a whole number >= 1, not {value!r}"
            yield Problem("bad_number", name, sentence)
    if tolerate is not None and not isinstance(tolerate, Count | Share):
        sentence = f"{shape}: tolerate must be a Count or a Share, not {tolerate!r}"
        whole = isinstance(tolerate, int) and not isinstance(tolerate, bool)
        hint = f"write tolerate={'Count(3)' if whole else 'Share(0.05)'}"
        yield Problem("bad_tolerance", name, sentence, hint)
    if _is_fold(into):
        yield from _fold_problems(shape, name, into)
    elif into is not None:
        sentence = f"{shape}: into must be a Fold, not {into!r}"
        yield Problem("bad_fold", name, sentence, "write into=fold(start, add)")


def _fold_problems(shape: str, name: str, into: Fold[Any, Any]) -> Iterator[Problem]:
    yield from helper_problems("start of the fold", into.start, step=name, arguments=0)
    yield from helper_problems("add of the fold", into.add, step=name, arguments=2)
    order: object = into.order
    if order not in {"input", "completion"}:
        sentence = f"{shape}: order of the fold must be 'input' or 'completion', not {order!r}"
        yield Problem("bad_fold", name, sentence)


def _is_step(value: object) -> TypeIs[AnyStep]:
    return isinstance(value, Step)


def _is_fold(value: object) -> TypeIs[Fold[Any, Any]]:
    return isinstance(value, Fold)
