"""Flows: well-formed by construction, of given steps or of scripted ones.

Layer: testing. A flow leads on only, so that every run ends: from each step to later ones and to the end. The one way
back is from a scripted step to itself, and its script says how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import attrs

from ...flow import Edge, Flow, Step, flow, parallel, race
from ...robustness import Guard, Hedge
from ...types import END, AttrsState, Exit, Next
from .._scripted import Entry, Fail, Scripted
from ._guards import guards
from ._hypothesis import DrawFn, RepresentationPrinter, SearchStrategy, for_type_by_name, st
from ._numbers import durations, some
from ._policies import hedge_policies, retry_policies
from ._printing import as_code

__all__ = ["flows", "scripted_flows"]

State = TypeVar("State", bound=AttrsState)

_EXITS: Final = ("left", "right")
_POLICIES: Final = ("timeout", "attempt_timeout", "retry", "hedge", "guards")

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
    guarded: bool = False,
) -> SearchStrategy[Flow[State, []]]:
    """Well-formed flows of steps that play scripts (`Scripted`): each waits, maybe goes back to itself, and leads on.

    The steps are called ``step_1``, ``step_2`` and so on; some are a ``parallel`` or a ``race`` of two or three, called
    ``step_1_a`` and so on, and some a flow of their own, called ``step_1_flow``. The state stays as it is. Shrinks to a flow
    of one step that does nothing. The flow is called ``flow``; its runs take the same time every time.

    Args:
        kind: the class of the state.
        most: at most so many steps, those within a step not counted.
        longest: no step waits for longer at once, seconds.
        errors: what scripts may fail with; a run of a flow fails then, unless steps are tried again. None by default.
        guarded: whether steps may have retries, hedges, time limits and `guards`, which some of them share; then a run
            may fail with what those raise, and take another time under another seed. Not by default.
    """
    if not guarded:
        return _scripted_flows(_Kit(kind, longest, errors, ()), most, "flow", nests=True)
    return guards(longest=longest, most=2).flatmap(
        lambda shared: _scripted_flows(
            _Kit(kind, longest, errors, tuple(shared), guarded=True), most, "flow", nests=True
        )
    )


@attrs.frozen
class _Kit(Generic[State]):
    """Of what the scripted steps of one flow are made.

    Attributes:
        guards: those that its steps share.
    """

    kind: type[State]
    longest: float
    errors: Sequence[Exception]
    guards: tuple[Guard, ...]
    guarded: bool = False


@st.composite
def _scripted_flows(
    draw: DrawFn, kit: _Kit[State], most: int, name: str, *, nests: bool
) -> Flow[State, []]:
    prefix = "" if nests else f"{name}_"
    count = draw(st.integers(1, most))
    lines: list[Line[State]] = []
    for number in range(1, count + 1):
        called = f"{prefix}step_{number}"
        shapes = ["script", "parallel", "flow", "race"] if nests else ["script"]
        match draw(st.sampled_from(shapes)):
            case "parallel" | "race" as shape:
                branches = [
                    _step(draw, kit, f"{called}_{arm}")
                    for arm in "abc"[: draw(st.integers(2, 3))]
                ]
                at_once = parallel if shape == "parallel" else race
                lines.append((Step(at_once(*branches), name=called), ()))
            case "flow":
                inner = _scripted_flows(kit, 2, f"{called}_flow", nests=False)
                lines.append((Step(draw(inner), name=called), ()))
            case _:
                again = draw(st.integers(0, 2))
                exits = _EXITS[: draw(st.integers(1 if again else 0, 2))]
                lines.append((
                    _step(draw, kit, called, exits, again),
                    ("again",) if again else (),
                ))
    return draw(_wired(kit.kind, lines, name))


def _step(
    draw: DrawFn, kit: _Kit[State], name: str, exits: Sequence[str] = (), again: int = 0
) -> Step[State, ...]:
    if not kit.guarded:
        return Step(draw(_scripts(kit, exits, again, 1)), name=name)
    longest = kit.longest
    retry = draw(st.none() | retry_policies(max_attempts=3, longest=longest, exact=True))
    hedge = draw(st.none() | hedge_policies(max_attempts=2, longest=longest, exact=True))
    calls = (retry.max_attempts if retry else 1) * (hedge.max_attempts if hedge else 1)
    is_shared = draw(st.booleans())
    return Step(
        draw(_scripts(kit, exits, again, calls)),
        name=name,
        retry=retry,
        hedge=hedge and Hedge(hedge),
        guards=kit.guards if is_shared else (),
        timeout=draw(st.none() | some(4 * longest)),
        attempt_timeout=draw(st.none() | some(2 * longest)),
    )


@st.composite
def _scripts(
    draw: DrawFn, kit: _Kit[State], exits: Sequence[str], again: int, calls: int
) -> Scripted[State]:
    """A node that takes exit ``again`` so many times, and then one of *exits*, if there are any.

    Of *calls* that one visit may make, all but the first end in the same way.
    """
    longest, errors = kit.longest, kit.errors
    script: list[Entry] = []
    ends: list[Entry] = [*["again"] * again, draw(st.sampled_from(exits)) if exits else None]
    for end in ends:
        if bool(errors) and draw(st.booleans()):
            script += [draw(durations(longest)), Fail(draw(st.sampled_from(errors)))]
        script += [draw(durations(longest)), end]
    script += [draw(durations(longest)), ends[-1]] * ((calls - 1) * (again + 1))
    return Scripted(kit.kind, script, exits=exits)


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
    policies = {name: getattr(step.policies, name) for name in _POLICIES}
    given = [f"{name}={as_code(policy)}" for name, policy in policies.items() if policy]
    if given:
        what += f" with {', '.join(given)}"
    ways = [f"{exit_} -> {_called(target)}".lstrip() for exit_, target in edge.targets.items()]
    return f"{step.name}{what} {', '.join(ways)}"


def _called(target: Next) -> str:
    return target.name if isinstance(target, Step | Exit) else repr(target)
