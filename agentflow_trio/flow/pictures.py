"""Pictures of a flow: Mermaid and Graphviz sources, and plain text.

How each format says what a picture shows. Layer: flow.
Rules: the same flow gives the same text, byte for byte; no character of a name means anything to a format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..types import END, Exit, Next
from ._flow import Flow
from ._picture_core import Arrow, Box, Cluster, draw, errors_of, notes_of
from ._step import Step

__all__ = ["to_dot", "to_mermaid", "to_text"]


def to_mermaid(flow: Flow[Any, ...], /) -> str:
    """Return *flow* as a Mermaid flowchart: nested flows and branches in subgraphs, ``.catch`` dashed, policies in the boxes.

    For ``.md`` pages, GitHub and Sphinx. Not a checkpoint.
    """
    picture = draw(flow)
    lines = ["flowchart TB", *_mermaid_cluster(picture.root, "    ")]
    lines += [f"    {_mermaid_arrow(arrow)}" for arrow in picture.arrows]
    lines += [f"    {line}" for line in _mermaid_styles(picture.root)]
    return "\n".join(lines) + "\n"


def to_dot(flow: Flow[Any, ...], /) -> str:
    """Return *flow* in Graphviz's language: nested flows and branches in clusters, ``.catch`` dashed, policies in the boxes.

    For ``dot -Tsvg``. Not a checkpoint.
    """
    picture = draw(flow)
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
    """Return *flow* as indented text: a paragraph for each step, ``*`` at the start, nested flows behind a ``|``, branches behind a ``&``.

    For terminals and for comparing two versions. Not a checkpoint.
    """
    return "\n".join(map(_plain, _text(flow))) + "\n"


def _plain(text: str) -> str:
    """*text* with the replacement character for what is no character: controls and lone surrogates."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


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


def _mermaid_cluster(cluster: Cluster, indent: str) -> Iterator[str]:
    """The flow's name stands in its start: arrows would run through the title of a subgraph."""
    yield f'{indent}{cluster.start.id}(["{_mermaid_label(cluster.name, cluster.notes)}"])'
    for member in (*cluster.steps, *cluster.doors.values()):
        if isinstance(member, Box):
            before, after = _MERMAID_SHAPES[member.kind]
            yield f'{indent}{member.id}{before}"{_mermaid_label(member.name, member.notes)}"{after}'
        else:
            yield f'{indent}subgraph {member.id}[" "]'
            yield from _mermaid_cluster(member, indent + "    ")
            yield f"{indent}end"


def _mermaid_arrow(arrow: Arrow) -> str:
    """It ends at the nested flow's start: Mermaid draws arrows to a whole subgraph from odd sides."""
    label = f'|"{_mermaid(arrow.label)}"|' if arrow.label else ""
    return f"{arrow.leaves or arrow.source} {_MERMAID_ARROWS[arrow.look]}{label} {arrow.target}"


def _mermaid_styles(root: Cluster) -> Iterator[str]:
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


def _dot_cluster(cluster: Cluster, indent: str) -> Iterator[str]:
    for member in (cluster.start, *cluster.steps, *cluster.doors.values()):
        if isinstance(member, Box):
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


def _dot_arrow(arrow: Arrow) -> str:
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
        notes = ", ".join(notes_of(step))
        yield f"{'*' if step is flow.start else ' '} {step.name}" + (
            f"  [{notes}]" if notes else ""
        )
        yield from _inside(step)
        for name, target in edge.targets.items():
            yield f"    {name} -> {_said(target)}" if name else f"    -> {_said(target)}"
        for catching in edge.catches:
            yield f"    on {errors_of(catching.errors)} -> {_said(catching.target)}"


def _inside(step: Step[Any, ...]) -> Iterator[str]:
    """What is in *step*: its flow behind ``|``, or its branches, each behind ``&``."""
    if step.flow is not None:
        yield from (f"    | {line}" for line in _text(step.flow))
    for branch in step.branches:
        notes = ", ".join(notes_of(branch))
        yield f"    & {branch.name}" + (f"  [{notes}]" if notes else "")
        yield from (f"    {line}" for line in _inside(branch))


def _said(target: Next) -> str:
    if isinstance(target, Step):
        return target.name
    return f"exit {target.name}" if isinstance(target, Exit) and target is not END else "END"
