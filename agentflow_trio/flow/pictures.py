"""Pictures of a flow: Mermaid and Graphviz sources, and plain text.

Decides once what a picture shows (boxes, clusters, arrows) and then how each format says it. Layer: flow.
Rules: the same flow gives the same text, byte for byte; no character of a name means anything to a format.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, final

import attrs

from ..types import END, Exit, Next
from ._flow import Flow
from ._step import Edge, Step

__all__ = ["to_dot", "to_mermaid", "to_text"]


def to_mermaid(flow: Flow[Any, ...], /) -> str:
    """Return *flow* as a Mermaid flowchart: nested flows as subgraphs, ``.catch`` dashed, policies in the boxes.

    For ``.md`` pages, GitHub and Sphinx. Not a checkpoint.
    """
    picture = _draw(flow)
    lines = ["flowchart TB", *_mermaid_cluster(picture.root, "    ")]
    lines += [f"    {_mermaid_arrow(arrow)}" for arrow in picture.arrows]
    lines += [f"    {line}" for line in _mermaid_styles(picture.root)]
    return "\n".join(lines) + "\n"


def to_dot(flow: Flow[Any, ...], /) -> str:
    """Return *flow* in Graphviz's language: nested flows as clusters, ``.catch`` dashed, policies in the boxes.

    For ``dot -Tsvg``. Not a checkpoint.
    """
    picture = _draw(flow)
    lines = [
        "digraph flow {",
        f"    label={_dot_label(flow.name, ())} labelloc=t compound=true nodesep=0.45 ranksep=0.45",
        '    fontname="Helvetica" fontsize=14',
        '    node [fontname="Helvetica" fontsize=12 shape=box style="rounded,filled" fillcolor="#ffffff" color="#57606a"]',
        '    edge [fontname="Helvetica" fontsize=10 color="#57606a" arrowsize=0.7]',
        *_dot_cluster(picture.root, "    "),
        *(f"    {_dot_arrow(arrow)}" for arrow in picture.arrows),
        "}",
    ]
    return "\n".join(lines) + "\n"


def to_text(flow: Flow[Any, ...], /) -> str:
    """Return *flow* as indented text: a paragraph for each step, ``*`` at the start, nested flows behind a ``|``.

    For terminals and for comparing two versions. Not a checkpoint.
    """
    return "\n".join(map(_plain, _text(flow))) + "\n"


# ---------------------------------------------------------------- what a picture shows

_Kind: TypeAlias = Literal["start", "step", "exit", "end"]
_Look: TypeAlias = Literal["solid", "dashed", "hidden"]


@final
@attrs.frozen
class _Box:
    id: str
    kind: _Kind
    name: str
    notes: tuple[str, ...] = ()


@final
@attrs.frozen
class _Cluster:
    """A flow: its start, its steps as written, its ways out (exit -> box; the key is ``""`` for ``END``)."""

    id: str
    name: str
    notes: tuple[str, ...]
    start: _Box
    steps: tuple[_Box | _Cluster, ...]
    doors: Mapping[str, _Box]

    def clusters(self) -> Iterator[_Cluster]:
        """This one and all below it."""
        yield self
        for member in self.steps:
            if isinstance(member, _Cluster):
                yield from member.clusters()


@final
@attrs.frozen
class _Arrow:
    """From box to box. ``leaves`` and ``enters``: the nested flow at whose border it begins or ends instead."""

    source: str
    target: str
    look: _Look
    label: str = ""
    leaves: str = ""
    enters: str = ""


@final
@attrs.frozen
class _Picture:
    root: _Cluster
    arrows: tuple[_Arrow, ...]


def _draw(flow: Flow[Any, ...]) -> _Picture:
    arrows: list[_Arrow] = []
    root = _cluster(flow, (), (), _Ids(), arrows)
    return _Picture(root, tuple(_joined(arrows)))


def _cluster(
    flow: Flow[Any, ...],
    words: tuple[str, ...],
    notes: tuple[str, ...],
    ids: _Ids,
    arrows: list[_Arrow],
) -> _Cluster:
    """Draw *flow*, found under the steps *words*; its arrows and those of flows in it are added to *arrows*."""
    own = ids.new(*words) if words else "flow"
    start = _Box(ids.new(*words, "start"), "start", "start")
    steps = {edge.source: _member(edge.source, words, ids, arrows) for edge in flow.edges}
    doors = {name: _Box(ids.new(*words, name), "exit", name) for name in flow.exits}
    doors = doors or {"": _Box(ids.new(*words, "end"), "end", "end")}
    arrows.append(_arrow(start, steps[flow.start]))
    for edge in flow.edges:
        arrows.extend(_arrows(edge, steps, doors))
    return _Cluster(
        own, words[-1] if words else flow.name, notes, start, tuple(steps.values()), doors
    )


def _member(
    step: Step[Any, ...], words: tuple[str, ...], ids: _Ids, arrows: list[_Arrow]
) -> _Box | _Cluster:
    notes = _notes(step)
    if step.flow is None:
        return _Box(ids.new(*words, step.name), "step", step.name, notes)
    renamed = () if step.flow.name == step.name else (f"flow {step.flow.name}",)
    return _cluster(step.flow, (*words, step.name), renamed + notes, ids, arrows)


def _arrows(
    edge: Edge[Any], steps: Mapping[Step[Any, ...], _Box | _Cluster], doors: Mapping[str, _Box]
) -> Iterator[_Arrow]:
    """The arrows of one line of wiring."""
    member = steps[edge.source]
    goals = {name: _goal(target, steps, doors) for name, target in edge.targets.items()}
    caught = [
        (_errors(catching.errors), _goal(catching.target, steps, doors))
        for catching in edge.catches
    ]
    if isinstance(member, _Box):
        yield from (_arrow(member, goal, label=name) for name, goal in goals.items())
        yield from (_arrow(member, goal, "dashed", label=errors) for errors, goal in caught)
        return
    # The exits of a nested flow are boxes of their own: arrows begin there and need no label.
    yield from (
        _arrow(member.doors[name], goal, exit_of=member) for name, goal in goals.items()
    )
    last = list(member.doors.values())[-1]
    yield from (
        _arrow(last, goal, "dashed", label=errors, leaves=member) for errors, goal in caught
    )
    # Where a caught error leads is put below every exit: beside the nested flow its label would lie on the border.
    order = [*steps.values(), *doors.values()]
    later = order[order.index(member) + 1 :]
    for goal in dict.fromkeys(
        goal.start if isinstance(goal, _Cluster) else goal
        for _, goal in caught
        if goal in later
    ):
        yield from (_arrow(door, goal, "hidden") for door in member.doors.values())


def _goal(
    target: Next, steps: Mapping[Step[Any, ...], _Box | _Cluster], doors: Mapping[str, _Box]
) -> _Box | _Cluster:
    if isinstance(target, Step):
        return steps[target]
    return doors[target.name if isinstance(target, Exit) and target is not END else ""]


def _arrow(
    source: _Box,
    goal: _Box | _Cluster,
    look: _Look = "solid",
    *,
    label: str = "",
    exit_of: _Cluster | None = None,
    leaves: _Cluster | None = None,
) -> _Arrow:
    """An arrow to *goal*; from an exit of a nested flow, or from the border of it as a whole.

    One that leads back to the nested flow it comes from stays inside: it crosses no border.
    """
    if isinstance(goal, _Box):
        return _Arrow(source.id, goal.id, look, label, leaves.id if leaves else "")
    if goal is exit_of or goal is leaves:
        return _Arrow(source.id, goal.start.id, look, label)
    return _Arrow(source.id, goal.start.id, look, label, leaves.id if leaves else "", goal.id)


def _joined(arrows: list[_Arrow]) -> Iterator[_Arrow]:
    """One arrow for all exits that lead the same way, so that their labels do not lie on each other."""
    labels: dict[_Arrow, list[str]] = {}
    for arrow in arrows:
        labels.setdefault(attrs.evolve(arrow, label=""), []).append(arrow.label)
    seen = {
        (arrow.source, arrow.target)
        for arrow in labels
        if arrow.look != "hidden" and not arrow.leaves
    }
    for arrow, found in labels.items():
        if arrow.look != "hidden" or (arrow.source, arrow.target) not in seen:
            yield attrs.evolve(arrow, label=", ".join(filter(None, found)))


def _errors(kinds: tuple[type[Exception], ...]) -> str:
    return ", ".join(kind.__name__ for kind in kinds)


def _notes(step: Step[Any, ...]) -> tuple[str, ...]:
    """What the step's policies say, one phrase each."""
    policies = step.policies
    fallback = None if policies.fallback is None else policies.fallback.name
    said = (
        policies.timeout is not None and f"timeout {policies.timeout:g} s",
        policies.idle_timeout is not None and f"idle_timeout {policies.idle_timeout:g} s",
        policies.max_visits is not None and f"max_visits {policies.max_visits}",
        fallback is not None
        and ("fallback" if fallback == "fallback" else f"fallback {fallback}"),
        policies.uses and f"uses {', '.join(resource.name for resource in policies.uses)}",
    )
    return tuple(phrase for phrase in said if isinstance(phrase, str))


def _plain(text: str) -> str:
    """*text* with the replacement character for what is no character: controls and lone surrogates."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


# Keywords of Mermaid and of Graphviz, and what JavaScript finds in every object.
_RESERVED = (
    "call class classdef click constructor default digraph direction edge end flow flowchart graph hasownproperty href "
    "interpolate length linkstyle node prototype strict style subgraph tostring valueof"
)


class _Ids:
    """Readable names that no format trips over, never the same one twice, whatever the case of its letters."""

    def __init__(self) -> None:
        self._taken: set[str] = set(_RESERVED.split())

    def new(self, *words: str) -> str:
        """Return a name made of *words* that was not given before."""
        plain = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(words)).strip("_") or "step"
        plain = f"n{plain}" if plain[0].isdigit() else plain
        numbered = (f"{plain}_{number}" for number in itertools.count(2))
        found = next(
            name
            for name in itertools.chain([plain], numbered)
            if name.lower() not in self._taken
        )
        self._taken.add(found.lower())
        return found


# ---------------------------------------------------------------- Mermaid

_MERMAID_SHAPES = {
    "start": ("((", "))"),
    "step": ("[", "]"),
    "exit": ("([", "])"),
    "end": ("(((", ")))"),
}
_MERMAID_ARROWS = {"solid": "-->", "dashed": "-.->", "hidden": "~~~"}
# Anything but plain words, underscores that could be Markdown, and "direction TB", which Mermaid finds even in quotes.
_MERMAID_ODD = re.compile(r"[^\w ,-]|(?<![^\W_])_|_(?![^\W_])|d(?=irection\s)|^-")
# Line breaks, icons and formulas are looked for after code points were decoded: an invisible joiner keeps them text.
_MERMAID_LATE = re.compile(r"\\(?=n)|:(?=fa-)|\$(?=\$)")


def _mermaid(text: str) -> str:
    """*text* within a quoted label; every character that could be more than itself goes in as its code point."""
    text = _MERMAID_LATE.sub(lambda found: f"{found[0]}\u2060", _plain(text))
    return _MERMAID_ODD.sub(lambda found: f"#{ord(found[0])};", text)


def _mermaid_label(name: str, notes: tuple[str, ...]) -> str:
    return "<br/>".join((
        _mermaid(name),
        *(f"<small>{_mermaid(note)}</small>" for note in notes),
    ))


def _mermaid_cluster(cluster: _Cluster, indent: str) -> Iterator[str]:
    """The flow's name stands in its start: arrows would run through the title of a subgraph."""
    yield f'{indent}{cluster.start.id}(["{_mermaid_label(cluster.name, cluster.notes)}"])'
    for member in (*cluster.steps, *cluster.doors.values()):
        if isinstance(member, _Box):
            before, after = _MERMAID_SHAPES[member.kind]
            yield f'{indent}{member.id}{before}"{_mermaid_label(member.name, member.notes)}"{after}'
        else:
            yield f'{indent}subgraph {member.id}[" "]'
            yield from _mermaid_cluster(member, indent + "    ")
            yield f"{indent}end"


def _mermaid_arrow(arrow: _Arrow) -> str:
    """It ends at the nested flow's start: Mermaid draws arrows to a whole subgraph from odd sides."""
    label = f'|"{_mermaid(arrow.label)}"|' if arrow.label else ""
    return f"{arrow.leaves or arrow.source} {_MERMAID_ARROWS[arrow.look]}{label} {arrow.target}"


def _mermaid_styles(root: _Cluster) -> Iterator[str]:
    yield "classDef start fill:#57606a,stroke:#57606a,color:#ffffff"
    yield f"class {','.join(cluster.start.id for cluster in root.clusters())} start"


# ---------------------------------------------------------------- Graphviz

_DOT_SHAPES = {
    "start": ' shape=circle style=filled fillcolor="#57606a" width=0.16 fixedsize=true',
    "step": "",
    "exit": ' fillcolor="#eaeef2" fontsize=11 height=0.3',
    "end": ' shape=doublecircle style=filled fillcolor="#57606a" width=0.12 fixedsize=true',
}
_DOT_LOOKS = {
    "solid": "",
    "dashed": ' style=dashed color="#cf222e" fontcolor="#cf222e"',
    "hidden": " style=invis",
}


# Graphviz 2.43 stumbles over a "]" alone between tags.
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "]": "&#93;"})


def _markup(text: str) -> str:
    """*text* for Graphviz's markup."""
    return _plain(text).translate(_MARKUP)


def _dot_label(name: str, notes: tuple[str, ...]) -> str:
    small = "".join(
        f'<br/><font point-size="9" color="#57606a">{_markup(note)}</font>' for note in notes
    )
    return f"<<b>{_markup(name)}</b>{small}>"


def _dot_cluster(cluster: _Cluster, indent: str) -> Iterator[str]:
    for member in (cluster.start, *cluster.steps, *cluster.doors.values()):
        if isinstance(member, _Box):
            label = (
                '""'
                if member.kind in {"start", "end"}
                else _dot_label(member.name, member.notes)
            )
            yield f"{indent}{member.id} [label={label}{_DOT_SHAPES[member.kind]}]"
        else:
            yield f"{indent}subgraph cluster_{member.id} {{"
            yield f"{indent}    label={_dot_label(member.name, member.notes)} labeljust=l"
            yield f'{indent}    style="rounded,filled" color="#afb8c1" fillcolor="#f6f8fa" fontsize=12'
            yield from _dot_cluster(member, indent + "    ")
            yield f"{indent}}}"


def _dot_arrow(arrow: _Arrow) -> str:
    said = f" label=<{_markup(arrow.label)}>" if arrow.label else ""
    said += _DOT_LOOKS[arrow.look]
    said += f" ltail=cluster_{arrow.leaves}" if arrow.leaves else ""
    said += f" lhead=cluster_{arrow.enters}" if arrow.enters else ""
    return f"{arrow.source} -> {arrow.target}" + (f" [{said[1:]}]" if said else "")


# ---------------------------------------------------------------- text


def _text(flow: Flow[Any, ...]) -> Iterator[str]:
    yield f"flow {flow.name}" + (f" (exits: {', '.join(flow.exits)})" if flow.exits else "")
    for edge in flow.edges:
        step = edge.source
        notes = ", ".join(_notes(step))
        yield f"{'*' if step is flow.start else ' '} {step.name}" + (
            f"  [{notes}]" if notes else ""
        )
        if step.flow is not None:
            yield from (f"    | {line}" for line in _text(step.flow))
        for name, target in edge.targets.items():
            yield f"    {name} -> {_said(target)}" if name else f"    -> {_said(target)}"
        for catching in edge.catches:
            yield f"    on {_errors(catching.errors)} -> {_said(catching.target)}"


def _said(target: Next) -> str:
    if isinstance(target, Step):
        return target.name
    return f"exit {target.name}" if isinstance(target, Exit) and target is not END else "END"
