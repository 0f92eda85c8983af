"""Flows: well-formed by construction, of given steps or of scripted ones.

Layer: testing. A flow leads on only, so that every run ends: from each step to later ones and to the end. The one way
back is from a scripted step to itself, and its script says how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, TypeVar

from ...flow import Edge, Flow, Step, flow, parallel
from ...types import END, AttrsState, Exit, Next
from .._scripted import Entry, Fail, Scripted
from ._hypothesis import DrawFn, RepresentationPrinter, SearchStrategy, for_type_by_name, st
from ._numbers import durations

__all__ = ["flows", "scripted_flows"]

State = TypeVar("State", bound=AttrsState)

_EXITS: Final = ("left", "right")

Line: TypeAlias = tuple[Step[State, ...], Sequence[str]]


def flows(kind: type[State], /, *steps: Step[State, ...]) -> SearchStrategy[Flow[State, []]]:
    """Well-formed flows of some of these *steps*, without loops: ``flows(Article, draft, review, publish)``.

    Every step is reached, by an exit of an earlier one; every exit leads to a later step or to the end. Shrinks to a flow
    of the first step alone. The flow is called ``flow``.

    Args:
        kind: the class of their state.
        steps: at least one, each with a name of its own.

    Raises:
        ValueError: there are no steps, or two have one name.
    """
    names = [step.name for step in steps]
    if not steps or len(dict.fromkeys(names)) < len(names):
        raise ValueError(f"flows() takes steps of different names, at least one, not {names}")
    return _flows(kind, steps)


def scripted_flows(
    kind: type[State],
    /,
    *,
    most: int = 4,
    longest: float = 10.0,
    errors: Sequence[Exception] = (),
) -> SearchStrategy[Flow[State, []]]:
    """Well-formed flows of steps that play scripts (`Scripted`): each waits, maybe goes back to itself, and leads on.

    The steps are called ``step_1``, ``step_2`` and so on; some are a ``parallel`` of two or three, called ``step_1_a`` and
    so on, and some a flow of their own, called ``step_1_flow``. The state stays as it is. Shrinks to a flow of one
    step that does nothing. The flow is called ``flow``; its runs take the same time every time.

    Args:
        kind: the class of the state.
        most: at most so many steps, those within a step not counted.
        longest: no step waits for longer at once, seconds.
        errors: what scripts may fail with; a run of a flow fails then, unless steps are tried again. None by default.
    """
    return _scripted_flows(kind, most, longest, errors, "flow", nests=True)


@st.composite
def _scripted_flows(
    draw: DrawFn,
    kind: type[State],
    most: int,
    longest: float,
    errors: Sequence[Exception],
    name: str,
    *,
    nests: bool,
) -> Flow[State, []]:
    prefix = "" if nests else f"{name}_"
    count = draw(st.integers(1, most))
    lines: list[Line[State]] = []
    for number in range(1, count + 1):
        called = f"{prefix}step_{number}"
        shapes = ["script", "parallel", "flow"] if nests else ["script"]
        match draw(st.sampled_from(shapes)):
            case "parallel":
                branches = [
                    Step(draw(_scripts(kind, longest, errors, (), 0)), name=f"{called}_{arm}")
                    for arm in "abc"[: draw(st.integers(2, 3))]
                ]
                lines.append((Step(parallel(*branches), name=called), ()))
            case "flow":
                inner = _scripted_flows(kind, 2, longest, errors, f"{called}_flow", nests=False)
                lines.append((Step(draw(inner), name=called), ()))
            case _:
                again = draw(st.integers(0, 2))
                exits = _EXITS[: draw(st.integers(1 if again else 0, 2))]
                node = draw(_scripts(kind, longest, errors, exits, again))
                lines.append((Step(node, name=called), ("again",) if again else ()))
    return draw(_wired(kind, lines, name))


@st.composite
def _scripts(
    draw: DrawFn,
    kind: type[State],
    longest: float,
    errors: Sequence[Exception],
    exits: Sequence[str],
    again: int,
) -> Scripted[State]:
    """A node that takes exit ``again`` so many times, and then one of *exits*, if there are any."""
    script: list[Entry] = []
    ends: list[Entry] = [*["again"] * again, draw(st.sampled_from(exits)) if exits else None]
    for end in ends:
        if bool(errors) and draw(st.booleans()):
            script += [draw(durations(longest)), Fail(draw(st.sampled_from(errors)))]
        script += [draw(durations(longest)), end]
    return Scripted(kind, script, exits=exits)


@st.composite
def _flows(
    draw: DrawFn, kind: type[State], steps: Sequence[Step[State, ...]]
) -> Flow[State, []]:
    count = draw(st.integers(1, len(steps)))
    chosen = draw(st.permutations(steps))[:count]
    return draw(_wired(kind, [(step, ()) for step in chosen], "flow"))


@st.composite
def _wired(
    draw: DrawFn, kind: type[State], lines: Sequence[Line[State]], name: str
) -> Flow[State, []]:
    """The flow of these lines: a step, and those of its exits that lead back to itself."""
    edges: list[Edge[State]] = []
    for number, (step, own) in enumerate(lines, start=1):
        later: list[Next] = [*(other for other, _ in lines[number:]), END]
        if not step.exits:
            edges.append(Edge(step, {"": later[0]}))
            continue
        leading = [name for name in step.exits if name not in own]
        targets: dict[str, Next] = dict.fromkeys(own, step)
        # the first leads on, so that the next step is reached whatever the others do
        targets[leading[0]] = later[0]
        for other in leading[1:]:
            targets[other] = draw(st.sampled_from(later))
        edges.append(Edge(step, targets))
    return flow(name=name, state=kind)(lambda: edges)


# ---------------------------------------------------------------- as Hypothesis shows them


def _show(made: Flow[Any, ...], printer: RepresentationPrinter, cycle: bool) -> None:  # noqa: ARG001, FBT001 - as Hypothesis calls it
    printer.text(_shown(made))


for_type_by_name(Flow.__module__, Flow.__name__, _show)


def _shown(made: Flow[Any, ...]) -> str:
    """*made* line by line: a flow has no expression of which one could make it again."""
    return f"<Flow {made.name!r}: {'; '.join(map(_line, made.edges))}>"


def _line(edge: Edge[Any]) -> str:
    step = edge.source
    node = step.node
    what = f" plays {node.calls}" if isinstance(node, Scripted) else ""
    if step.branches:
        what = f" of {', '.join(branch.name for branch in step.branches)}"
    if step.flow is not None:
        what = f" of {_shown(step.flow)}"
    ways = [f"{exit_} -> {_called(target)}".lstrip() for exit_, target in edge.targets.items()]
    return f"{step.name}{what} {', '.join(ways)}"


def _called(target: Next) -> str:
    return target.name if isinstance(target, Step | Exit) else repr(target)
