"""What makes a wiring right: rules over its lines. All mistakes are found together.

Layer: flow. Pure: looks at edges and steps, runs nothing. Rule: what is reported is true of the
wiring as it is written; one mistake may well have two consequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .._typing import TypeIs
from ..engine import PlanStep
from ..errors import Problem, StepLimitError
from ..types import END, Exit, Next
from ._node import defaulted_of
from ._step import Edge, Step, compile_step
from ._words import did_you_mean, listed

if TYPE_CHECKING:
    from ..engine import Trying
    from ..robustness import Guard

__all__ = ["check", "targets_of"]

Line: TypeAlias = Edge[Any]
AnyStep: TypeAlias = Step[Any, ...]
Follows: TypeAlias = Mapping[AnyStep, Sequence[AnyStep]]


def targets_of(edge: Line) -> tuple[Next, ...]:
    """Everything that *edge* leads to, by an exit or by a catch."""
    return (*edge.targets.values(), *(catching.target for catching in edge.catches))


def check(flow: str, lines: object, exits: Sequence[Exit]) -> tuple[Problem, ...]:
    """Return everything that is wrong with *lines* as the wiring of *flow* with *exits*."""
    if not _is_list(lines) or not lines:
        return tuple(_no_lines(flow, lines))
    edges: list[Line] = [line for line in lines if isinstance(line, Edge)]
    problems = [*_not_lines(lines), *_doubles(edges)]
    places = [*(edge.source for edge in edges), *(line for line in lines if _is_step(line))]
    for edge in edges:
        problems += _condition(edge.source)
        problems += _routes(edge)
        problems += _targets(edge, places, exits)
        problems += _catches(edge)
        problems += _nested_guards(edge.source)
    if len(edges) == len(lines):
        problems += _reach(edges)
    problems += _unused(edges, exits)
    return tuple(problems)


# ---------------------------------------------------------------- the lines


def _no_lines(flow: str, lines: object) -> Iterator[Problem]:
    if lines is None:
        yield Problem("no_lines", "", f"{flow} returned None", "return the list of its lines")
    elif isinstance(lines, Edge):
        sentence = f"{flow} returned one line, not a list"
        yield Problem("no_lines", "", sentence, "put it in brackets: return [...]")
    elif _is_list(lines):
        hint = "write at least 'return [first.then(END)]'"
        yield Problem("no_lines", "", f"{flow} has no lines", hint)
    else:
        sentence = f"{flow} returned {lines!r}"
        yield Problem("no_lines", "", sentence, "return the list of its lines")


def _not_lines(lines: Sequence[object]) -> Iterator[Problem]:
    for line in lines:
        if _is_step(line):
            sentence = f"step {line.name!r} stands alone and does not say what follows it"
            hint = f"write {_how_to_route(line)}"
            yield Problem("not_a_line", line.name, sentence, hint)
        elif not isinstance(line, Edge):
            hint = "a line is step.then(...) or step.to(...)"
            yield Problem("not_a_line", "", f"{line!r} is not a line of wiring", hint)


def _doubles(edges: Sequence[Line]) -> Iterator[Problem]:
    named: dict[str, AnyStep] = {}
    wired: dict[AnyStep, None] = {}
    for edge in edges:
        step = edge.source
        if step in wired:
            sentence, hint = f"step {step.name!r} has two lines", "write one line for each step"
            yield Problem("wired_twice", step.name, sentence, hint)
        elif named.setdefault(step.name, step) is not step:
            sentence = f"two different steps are called {step.name!r}"
            hint = f"give one of them a name of its own: .with_(name='{step.name}_2')"
            yield Problem("duplicate_name", step.name, sentence, hint)
        wired[step] = None


# ---------------------------------------------------------------- one line


def _condition(step: AnyStep) -> Iterator[Problem]:
    """Whether the step has a condition, which only a branch can have."""
    if step.condition is not None:
        sentence = f"step {step.name!r} has a when(...), but is no branch of parallel or race"
        hint = "let the step before it decide with an exit"
        yield Problem("when_outside", step.name, sentence, hint)


def _routes(edge: Line) -> Iterator[Problem]:
    """Whether the line routes exactly the exits that the step has."""
    step, defaulted = edge.source, defaulted_of(edge.source.node)
    if "" in edge.targets and step.exits:
        sentence = f"step {step.name!r} branches, so 'then' is not enough"
        yield Problem("exit_unrouted", step.name, sentence, f"write {_how_to_route(step)}")
        return
    if not edge.targets and not step.exits:
        sentence = f"step {step.name!r} leads nowhere"
        yield Problem("no_target", step.name, sentence, f"write {_how_to_route(step)}")
    for name in edge.targets:
        if name and name not in step.exits:
            has = f"it has {', '.join(step.exits)}" if step.exits else "it has none"
            hint = did_you_mean(
                name, step.exits, otherwise=f"{has}: write {_how_to_route(step)}"
            )
            sentence = f"step {step.name!r} has no exit {name!r}"
            yield Problem("unknown_exit", step.name, sentence, hint)
    for name in step.exits:
        if name in defaulted:
            has = f"exit {name!r} of step {step.name!r} has a default"
            sentence = f"{has}, so its route could be left out"
            yield Problem("exit_default", step.name, sentence, f"write '*, {name}: Next'")
        elif name not in edge.targets:
            sentence = f"exit {name!r} of step {step.name!r} leads nowhere"
            yield Problem("exit_unrouted", step.name, sentence, f"add {name}=...")


def _how_to_route(step: AnyStep) -> str:
    routes = ", ".join(f"{name}=..." for name in step.exits)
    return f"{step.name}.to({routes})" if routes else f"{step.name}.then(...)"


def _targets(edge: Line, places: Sequence[AnyStep], exits: Sequence[Exit]) -> Iterator[Problem]:
    """Whether all targets are steps with a line, exits of the flow, or END if it has none."""
    told: list[object] = []
    for target in targets_of(edge):
        if not any(target is each for each in (*told, *places, *exits)):
            told.append(target)
            yield from _target(edge.source.name, target, places, exits)


def _target(
    step: str, target: object, places: Sequence[AnyStep], exits: Sequence[Exit]
) -> Iterator[Problem]:
    """What is wrong with a target that is no step with a line and no exit of the flow."""
    names = [place.name for place in places]
    leads = f"step {step!r} leads to"
    if _is_step(target):
        hint = did_you_mean(target.name, names, otherwise=f"add {_how_to_route(target)}")
        if target.name in names:
            hint = "the line is another step's of that name; name that very object"
        sentence = f"{leads} {target.name!r}, which has no line of its own"
        yield Problem("no_line", step, sentence, hint)
    elif target is END:
        if exits:
            own = " or ".join(exit_.name for exit_ in exits)
            sentence = f"{leads} END, but this flow has exits"
            yield Problem("end_with_exits", step, sentence, f"lead it to {own}")
    elif isinstance(target, Exit):
        sentence = f"{leads} {target.name!r}, an exit of another flow or step"
        yield Problem("foreign_exit", step, sentence, "name it as a parameter of this flow")
    elif isinstance(target, Next):
        hint = "name a step, an exit of this flow, or END"
        yield Problem("foreign_exit", step, f"{leads} a bare Next()", hint)
    else:
        hint = did_you_mean(str(target), names, otherwise="name the step itself")
        yield Problem("not_a_target", step, f"{leads} {target!r}, which is not a step", hint)


# ---------------------------------------------------------------- errors


def _catches(edge: Line) -> Iterator[Problem]:
    """Whether each catch names errors that may be caught and that no earlier one takes."""
    step = edge.source.name
    earlier: list[type[Exception]] = []
    for catching in edge.catches:
        named: Sequence[object] = catching.errors
        kinds = [kind for kind in named if _is_error_class(kind)]
        for kind in named:
            yield from _bad_catch(step, kind)
        for kind in kinds:
            hiding = next((first for first in earlier if issubclass(kind, first)), None)
            if hiding is kind:
                sentence = f"step {step!r} catches {kind.__name__} twice"
                yield Problem(
                    "hidden_catch", step, sentence, "only the first can take it; keep one"
                )
            elif hiding is not None:
                taken = f"an earlier catch of {hiding.__name__} takes it"
                sentence = f"step {step!r} catches {kind.__name__}, but {taken}"
                yield Problem("hidden_catch", step, sentence, "put the narrower catch first")
        earlier += kinds


def _bad_catch(step: str, kind: object) -> Iterator[Problem]:
    """What is wrong with *kind* as something to catch."""
    hint = "name classes of Exception: catch(TimeoutError, OSError, to=...)"
    if _is_class(kind) and issubclass(kind, StepLimitError):
        sentence = f"step {step!r} catches {kind.__name__}, which ends the run"
        hint = "set max_visits on a step to route a loop that goes on too long"
        yield Problem("bad_catch", step, sentence, hint)
    elif _is_class(kind) and not issubclass(kind, Exception):
        hint = (
            "cancellation and what ends the program are never caught; name classes of Exception"
        )
        sentence = f"step {step!r} catches {kind.__name__}, which is no Exception"
        yield Problem("bad_catch", step, sentence, hint)
    elif not _is_class(kind):
        yield Problem(
            "bad_catch", step, f"step {step!r} catches {kind!r}, which is no class", hint
        )


# ---------------------------------------------------------------- guards


def _nested_guards(step: AnyStep) -> Iterator[Problem]:
    """Whether a step enters a guard again inside its own body, where it would wait for itself."""
    if not step.policies.guards:
        return
    from ._guarding import exclusive_in  # noqa: PLC0415 - see there

    for guard in exclusive_in(step.policies.guards):
        for inner in _users_inside(compile_step(step), guard):
            sentence = f"step {step.name!r} and {inner!r} inside it both enter {guard.name!r}"
            hint = "the inner one would wait for the outer one for ever; guard one of them"
            yield Problem("guard_nested", step.name, sentence, hint)


def _users_inside(step: PlanStep, guard: Guard) -> Iterator[str]:
    """The names of the steps inside *step* that have *guard*, and its own if its items have."""
    todo = [step]
    while todo:
        outer = todo.pop()
        if outer.items is not None and _has(outer.items.trying, guard):
            yield outer.name
        for inner in (each for part in outer.parts for each in part.steps):
            if _has(inner.trying, guard):
                yield inner.name
            todo.append(inner)


def _has(trying: Trying | None, guard: Guard) -> bool:
    return trying is not None and any(one is guard for one in trying.guards)


# ---------------------------------------------------------------- the whole graph


def _reach(edges: Sequence[Line]) -> Iterator[Problem]:
    """Whether every step can be reached from the start, and a way out from every step."""
    follows: dict[AnyStep, list[AnyStep]] = {edge.source: [] for edge in edges}
    open_ended: list[AnyStep] = []
    for edge in edges:
        for target in targets_of(edge):
            if _is_step(target) and target in follows:
                follows[edge.source].append(target)
            else:
                open_ended.append(edge.source)
        if not edge.targets or any(name not in edge.targets for name in edge.source.exits):
            open_ended.append(edge.source)  # told already; where it will lead is not known
    start = edges[0].source
    reached = _reached([start], follows)
    for step in follows:
        if step not in reached:
            sentence = f"step {step.name!r} is never reached from {start.name!r}"
            hint = "lead a step to it, or remove its line"
            yield Problem("unreachable", step.name, sentence, hint)
    ending = _reached(open_ended, _reversed(follows))
    stuck = [step for step in follows if step in reached and step not in ending]
    for trap in _traps(stuck, follows):
        yield _no_way_out([step.name for step in trap])


def _reached(starts: Iterable[AnyStep], follows: Follows) -> dict[AnyStep, None]:
    """The steps that can be reached from *starts*, themselves included."""
    reached: dict[AnyStep, None] = {}
    todo = [*starts]
    while todo:
        step = todo.pop()
        if step not in reached:
            reached[step] = None
            todo += follows[step]
    return reached


def _reversed(follows: Follows) -> Follows:
    before: dict[AnyStep, list[AnyStep]] = {step: [] for step in follows}
    for step, targets in follows.items():
        for target in targets:
            before[target].append(step)
    return before


def _traps(stuck: Sequence[AnyStep], follows: Follows) -> Iterator[list[AnyStep]]:
    """The groups of *stuck* steps that lead only to each other, without what leads there."""
    told: dict[AnyStep, None] = {}
    for step in stuck:
        group = _reached([step], follows)
        if step not in told and all(step in _reached([other], follows) for other in group):
            told.update(group)
            yield [each for each in stuck if each in group]


def _no_way_out(names: Sequence[str]) -> Problem:
    if len(names) == 1:
        sentence, hint = f"step {names[0]!r} leads only to itself", "lead it to an exit or END"
    else:
        sentence = f"steps {listed(names)} lead only to each other"
        hint = "lead one of them to an exit or END"
    return Problem("no_way_out", names[0], sentence, hint)


def _unused(edges: Sequence[Line], exits: Sequence[Exit]) -> Iterator[Problem]:
    taken = [target for edge in edges for target in targets_of(edge)]
    for exit_ in exits:
        if not any(target is exit_ for target in taken):
            hint = "lead a step to it, or remove the parameter"
            yield Problem("exit_unused", "", f"exit {exit_.name!r} is never taken", hint)


# ---------------------------------------------------------------- what a checker would have said


def _is_list(value: object) -> TypeIs[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_step(value: object) -> TypeIs[AnyStep]:
    return isinstance(value, Step)


def _is_class(kind: object) -> TypeIs[type[object]]:
    return isinstance(kind, type)


def _is_error_class(kind: object) -> TypeIs[type[Exception]]:
    return isinstance(kind, type) and issubclass(kind, Exception)
