"""What makes a wiring right: rules over its lines. All mistakes are found together, in the order written.

Layer: flow. Pure: looks at edges and steps, runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from typing_extensions import TypeIs

from ..errors import Problem, StepLimitError
from ..types import END, Exit, Next
from ._inspect import defaulted_exits
from ._node import BuiltIn
from ._policies import did_you_mean
from ._step import Edge, FunctionNode, Step

__all__ = ["check"]

Line: TypeAlias = Edge[Any]


def check(flow: str, lines: object, exits: Sequence[Exit]) -> list[Problem]:
    """Return everything that is wrong with *lines* as the wiring of a flow with these *exits*."""
    if lines is None:
        return [Problem("no_lines", "", f"{flow} returned None", "return the list of its lines")]
    if not isinstance(lines, Sequence) or isinstance(lines, str):
        return [Problem("no_lines", "", f"{flow} returned a {type(lines).__name__}", "return a list of lines")]
    if not lines:
        return [Problem("no_lines", "", f"{flow} has no lines", "write at least 'return [first.then(END)]'")]
    problems = list(_not_lines(lines))
    edges: list[Line] = [line for line in lines if isinstance(line, Edge)]
    problems += _doubles(edges)
    for edge in edges:
        problems += _routes(edge)
        problems += _targets(edge, edges, exits)
        problems += _catches(edge)
        problems += _defaults(edge.source)
    if len(edges) == len(lines):
        problems += _reach(edges)
    problems += _unused(edges, exits)
    return problems


def _not_lines(lines: Sequence[object]) -> Iterator[Problem]:
    for line in lines:
        if isinstance(line, Step):
            hint = f"write {line.name}.to(...)" if line.exits else f"write {line.name}.then(...)"
            yield Problem("not_a_line", line.name, f"step {line.name!r} stands alone and says not what follows it", hint)
        elif not isinstance(line, Edge):
            yield Problem("not_a_line", "", f"{line!r} is not a line of wiring", "a line is step.then(...) or step.to(...)")


def _doubles(edges: Sequence[Line]) -> Iterator[Problem]:
    seen: dict[str, Step[Any, ...]] = {}
    for edge in edges:
        step = edge.source
        first = seen.setdefault(step.name, step)
        if first is not step:
            hint = f"give one of them a name of its own: .with_(name={step.name + '_2'!r})"
            yield Problem("duplicate_name", step.name, f"two different steps are called {step.name!r}", hint)
    once: list[Step[Any, ...]] = []
    for edge in edges:
        if any(edge.source is step for step in once):
            yield Problem("wired_twice", edge.source.name, f"step {edge.source.name!r} has two lines", "write one line for each step")
        once.append(edge.source)


def _routes(edge: Line) -> Iterator[Problem]:
    """Whether the line routes exactly the exits that the step has."""
    step, named = edge.source, [name for name in edge.targets if name]
    if "" in edge.targets and step.exits:
        routes = ", ".join(f"{name}=..." for name in step.exits)
        yield Problem("exit_unrouted", step.name, f"step {step.name!r} branches, so 'then' is not enough", f"write {step.name}.to({routes})")
        return
    if not edge.targets:
        if not step.exits:
            yield Problem("no_target", step.name, f"step {step.name!r} leads nowhere", f"write {step.name}.then(...)")
            return
    for name in named:
        if name not in step.exits:
            has = f"it has {', '.join(step.exits)}" if step.exits else f"it has none: write {step.name}.then(...)"
            yield Problem("unknown_exit", step.name, f"step {step.name!r} has no exit {name!r}", did_you_mean(name, step.exits, otherwise=has))
    for name in step.exits:
        if name not in edge.targets:
            yield Problem("exit_unrouted", step.name, f"exit {name!r} of step {step.name!r} leads nowhere", f"add {name}=...")


def _all_targets(edge: Line) -> list[object]:
    return [*edge.targets.values(), *(catching.target for catching in edge.catches)]


def _targets(edge: Line, edges: Sequence[Line], exits: Sequence[Exit]) -> Iterator[Problem]:
    """Whether every target is a step with a line, one of the flow's exits, or END where it has none."""
    step, names = edge.source.name, [other.source.name for other in edges]
    for target in _all_targets(edge):
        if isinstance(target, Step):
            if not any(other.source is target for other in edges):
                hint = did_you_mean(target.name, [name for name in names if name != step])
                yield Problem("no_line", step, f"step {step!r} leads to {target.name!r}, which has no line of its own", hint or f"add {target.name}.then(...)")
        elif target is END:
            if exits:
                own = " or ".join(exit_.name for exit_ in exits)
                yield Problem("end_with_exits", step, f"step {step!r} leads to END, but this flow has exits", f"lead it to {own}")
        elif isinstance(target, Exit):
            if not any(target is exit_ for exit_ in exits):
                yield Problem("foreign_exit", step, f"step {step!r} leads to {target.name!r}, an exit of another flow or step", "name it as a parameter of this flow")
        elif isinstance(target, Next):
            yield Problem("foreign_exit", step, f"step {step!r} leads to a bare Next()", "name a step, an exit of this flow, or END")
        else:
            hint = did_you_mean(target, names) if isinstance(target, str) else ""
            yield Problem("not_a_target", step, f"step {step!r} leads to {target!r}, which is not a step", hint or "name the step itself")


def _catches(edge: Line) -> Iterator[Problem]:
    step = edge.source.name
    earlier: list[type[Exception]] = []
    for catching in edge.catches:
        kinds: tuple[object, ...] = (*catching.errors,)
        for kind in kinds:
            if not _is_error_class(kind):
                what = f"an instance, {kind!r}" if isinstance(kind, BaseException) else repr(getattr(kind, "__name__", kind))
                yield Problem("bad_catch", step, f"step {step!r} catches {what}", "name classes of Exception; cancellation is never caught")
            elif issubclass(kind, StepLimitError):
                yield Problem("bad_catch", step, f"step {step!r} catches StepLimitError", "the step limit ends the run; use max_visits on a step to route a loop")
            elif hiding := next((first for first in earlier if issubclass(kind, first)), None):
                yield Problem("hidden_catch", step, f"step {step!r} catches {kind.__name__}, but an earlier catch of {hiding.__name__} takes it", "put the narrower catch first")
        earlier += [kind for kind in kinds if _is_error_class(kind)]


def _is_error_class(kind: object) -> TypeIs[type[Exception]]:
    return isinstance(kind, type) and issubclass(kind, Exception)


def _defaults(step: Step[Any, ...]) -> Iterator[Problem]:
    if isinstance(step.node, FunctionNode):
        named = defaulted_exits(step.node.function, skip=1)
    elif isinstance(step.node, BuiltIn):
        named = ()
    else:
        named = defaulted_exits(step.node.post, skip=3)
    for name in named:
        yield Problem("exit_default", step.name, f"exit {name!r} of step {step.name!r} has a default, so its route could be left out", f"write '*, {name}: Next'")


def _reach(edges: Sequence[Line]) -> Iterator[Problem]:
    """Whether every step can be reached, and from every step the end."""
    follows = {id(edge.source): [target for target in _all_targets(edge) if isinstance(target, Next)] for edge in edges}
    reached: dict[int, None] = {}
    todo: list[Next] = [edges[0].source]
    while todo:
        step = todo.pop()
        if id(step) not in reached and id(step) in follows:
            reached[id(step)] = None
            todo += follows[id(step)]
    for edge in edges:
        if id(edge.source) not in reached:
            yield Problem("unreachable", edge.source.name, f"step {edge.source.name!r} is never reached from {edges[0].source.name!r}", "route something to it, or remove its line")
    ends = {key for key, targets in follows.items() if any(id(target) not in follows for target in targets) or not targets}
    while True:
        more = {key for key, targets in follows.items() if key not in ends and any(id(target) in ends for target in targets)}
        if not more:
            break
        ends |= more
    stuck = list(dict.fromkeys(edge.source.name for edge in edges if id(edge.source) in reached and id(edge.source) not in ends))
    if stuck:
        hint = "route one of them to an exit or END, or catch something"
        yield Problem("no_way_out", stuck[0], f"no way leads out of {' -> '.join([*stuck, stuck[0]])}", hint)


def _unused(edges: Sequence[Line], exits: Sequence[Exit]) -> Iterator[Problem]:
    taken = [target for edge in edges for target in _all_targets(edge)]
    for exit_ in exits:
        if not any(target is exit_ for target in taken):
            yield Problem("exit_unused", "", f"exit {exit_.name!r} is never taken", "lead a step to it, or remove the parameter")
