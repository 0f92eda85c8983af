"""The three pictures of a flow: what they show, word for word, and that no name can break them."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

import agentflow_trio
from agentflow_trio.flow import Flow, Step, Wiring, flow, step
from agentflow_trio.flow.pictures import to_dot, to_mermaid, to_text
from agentflow_trio.robustness import Fallback
from agentflow_trio.types import END, Next, Resource


@define
class Article:
    topic: str = ""


HTTP = Resource[object]("http", object)
MODEL = Resource[object]("model", object)


class Ask:
    """A node with a result, so that a fallback fits."""

    async def prep(self, shared: Article) -> str:
        await trio.lowlevel.checkpoint()
        return shared.topic

    async def exec(self, prepared: str) -> str:
        await trio.lowlevel.checkpoint()
        return prepared

    async def post(self, shared: Article, prepared: str, result: str) -> None:
        await trio.lowlevel.checkpoint()
        shared.topic = result


@step
async def triage(article: Article, *, long: Next, short: Next) -> Next:
    await trio.lowlevel.checkpoint()
    return long


@step(idle_timeout=5.0)
async def review(article: Article, *, approved: Next, rejected: Next) -> Next:
    await trio.lowlevel.checkpoint()
    return approved


@step
async def archive(article: Article) -> None: ...


write = Step(
    Ask(), name="write", timeout=30.0, max_visits=3, fallback=Fallback(""), uses=(HTTP, MODEL)
)


@flow
def editing(*, published: Next, abandoned: Next) -> Wiring[Article]:
    return [
        triage.to(long=write, short=abandoned),
        write.then(review).catch(TimeoutError, OSError, to=abandoned),
        review.to(approved=published, rejected=write),
    ]


edit = Step(editing, name="edit", timeout=100.0)


@flow
def editorial() -> Wiring[Article]:
    return [
        edit.to(published=archive, abandoned=END).catch(RuntimeError, to=archive),
        archive.then(END),
    ]


def test_text_says_everything_in_paragraphs() -> None:
    assert to_text(editorial) == (
        """\
flow editorial
* edit  [timeout 100 s]
    | flow editing (exits: published, abandoned)
    | * triage
    |     long -> write
    |     short -> exit abandoned
    |   write  [timeout 30 s, max_visits 3, fallback, uses http, model]
    |     -> review
    |     on TimeoutError, OSError -> exit abandoned
    |   review  [idle_timeout 5 s]
    |     approved -> exit published
    |     rejected -> write
    published -> archive
    abandoned -> END
    on RuntimeError -> archive
  archive
    -> END
"""
    )


def test_mermaid_shows_nested_flows_their_exits_catches_and_policies() -> None:
    assert to_mermaid(editorial) == (
        """\
flowchart TB
    start(["editorial"])
    subgraph edit[" "]
        edit_start(["edit<br/><small>flow editing</small><br/><small>timeout 100 s</small>"])
        edit_triage["triage"]
        edit_write["write<br/><small>timeout 30 s</small><br/><small>max_visits 3</small><br/>"""
        """<small>fallback</small><br/><small>uses http, model</small>"]
        edit_review["review<br/><small>idle_timeout 5 s</small>"]
        edit_published(["published"])
        edit_abandoned(["abandoned"])
    end
    archive["archive"]
    end_2((("end")))
    edit_start --> edit_triage
    edit_triage -->|"long"| edit_write
    edit_triage -->|"short"| edit_abandoned
    edit_write --> edit_review
    edit_write -.->|"TimeoutError, OSError"| edit_abandoned
    edit_review -->|"approved"| edit_published
    edit_review -->|"rejected"| edit_write
    start --> edit_start
    edit_published --> archive
    edit_abandoned --> end_2
    edit -.->|"RuntimeError"| archive
    edit_abandoned ~~~ archive
    archive --> end_2
    classDef start fill:#57606a,stroke:#57606a,color:#ffffff
    class start,edit_start start
"""
    )


def test_dot_shows_nested_flows_their_exits_catches_and_policies() -> None:
    note = '<br/><font point-size="9" color="#57606a">{}</font>'
    write_notes = "".join(
        map(note.format, ("timeout 30 s", "max_visits 3", "fallback", "uses http, model"))
    )
    dot = 'shape=circle style=filled fillcolor="#57606a" width=0.16 fixedsize=true'
    red = 'style=dashed color="#cf222e" fontcolor="#cf222e"'
    assert to_dot(editorial) == (
        f"""\
digraph flow {{
    label=<<b>editorial</b>> labelloc=t compound=true nodesep=0.45 ranksep=0.45
    fontname="Helvetica" fontsize=14
    node [fontname="Helvetica" fontsize=12 shape=box style="rounded,filled" """
        f"""fillcolor="#ffffff" color="#57606a"]
    edge [fontname="Helvetica" fontsize=10 color="#57606a" arrowsize=0.7]
    start [label="" {dot}]
    subgraph cluster_edit {{
        label=<<b>edit</b>{note.format("flow editing")}{note.format("timeout 100 s")}> labeljust=l
        style="rounded,filled" color="#afb8c1" fillcolor="#f6f8fa" fontsize=12
        edit_start [label="" {dot}]
        edit_triage [label=<<b>triage</b>>]
        edit_write [label=<<b>write</b>{write_notes}>]
        edit_review [label=<<b>review</b>{note.format("idle_timeout 5 s")}>]
        edit_published [label=<<b>published</b>> fillcolor="#eaeef2" fontsize=11 height=0.3]
        edit_abandoned [label=<<b>abandoned</b>> fillcolor="#eaeef2" fontsize=11 height=0.3]
    }}
    archive [label=<<b>archive</b>>]
    end_2 [label="" shape=doublecircle style=filled fillcolor="#57606a" width=0.12 fixedsize=true]
    edit_start -> edit_triage
    edit_triage -> edit_write [label=<long>]
    edit_triage -> edit_abandoned [label=<short>]
    edit_write -> edit_review
    edit_write -> edit_abandoned [label=<TimeoutError, OSError> {red}]
    edit_review -> edit_published [label=<approved>]
    edit_review -> edit_write [label=<rejected>]
    start -> edit_start [lhead=cluster_edit]
    edit_published -> archive
    edit_abandoned -> end_2
    edit_abandoned -> archive [label=<RuntimeError> {red} ltail=cluster_edit]
    edit_abandoned -> archive [style=invis]
    archive -> end_2
}}
"""
    )


def test_exits_that_lead_the_same_way_share_one_arrow() -> None:
    @step
    async def ask(article: Article, *, again: Next, retry: Next, done: Next) -> Next:
        await trio.lowlevel.checkpoint()
        return done

    @flow
    def loop() -> Wiring[Article]:
        return [archive.then(ask), ask.to(again=archive, retry=archive, done=END)]

    assert 'ask -->|"again, retry"| archive' in to_mermaid(loop)
    assert "ask -> archive [label=<again, retry>]" in to_dot(loop)


def test_a_nested_flow_that_leads_to_itself_is_drawn_inside_its_border() -> None:
    again = Step(editing, name="again")

    @flow
    def loop(*, done: Next) -> Wiring[Article]:
        return [again.to(published=done, abandoned=again).catch(ValueError, to=again)]

    assert "again_abandoned --> again_start\n" in to_mermaid(loop)
    dot = to_dot(loop)
    assert "again_abandoned -> again_start\n" in dot
    assert "again_abandoned -> again_start [label=<ValueError> style=dashed" in dot
    assert "ltail" not in dot


def test_what_catches_the_errors_of_a_nested_flow_is_put_below_it() -> None:
    again = Step(editing, name="again")

    @flow
    def two() -> Wiring[Article]:
        return [
            edit.to(published=again, abandoned=END).catch(ValueError, to=again),
            again.to(published=END, abandoned=END).catch(ValueError, to=edit),
        ]

    hidden = [line.strip() for line in to_mermaid(two).splitlines() if "~~~" in line]
    assert hidden == ["edit_abandoned ~~~ again_start"]
    dot = to_dot(two)
    assert "edit_abandoned -> again_start [label=<ValueError> style=dashed" in dot
    assert " ltail=cluster_edit lhead=cluster_again]\n" in dot


def test_a_name_used_in_two_flows_is_two_boxes() -> None:
    @flow
    def chapter() -> Wiring[Article]:
        return [archive.then(END)]

    first, second = Step(chapter, name="archive a"), Step(chapter, name="archive_a")

    @flow
    def book() -> Wiring[Article]:
        return [first.then(second), second.then(archive), archive.then(END)]

    boxes = re.findall(r"^ *(\w+) \[label", to_dot(book), re.MULTILINE)
    assert len(boxes) == len(set(boxes)) == 9
    assert boxes[2:8:2] == ["archive_a_archive", "archive_a_start_2", "archive_a_end_2"]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (
            ["step", "X ray X", "_a_", "Lettre à 9", "9 to 5"],
            ["step", "X_ray_X", "a", "Lettre_9", "n9_to_5"],
        ),
        (["é", "漢", "Step"], ["step", "step_2", "Step_3"]),
        (["a b", "a.b", "A-B"], ["a_b", "a_b_2", "A_B_3"]),
        (["end", "Node", "toString"], ["end_2", "Node_2", "toString_2"]),
    ],
    ids=["kept", "nothing left", "alike", "reserved"],
)
def test_what_boxes_are_called_in_a_source_is_as_near_to_their_names_as_can_be(
    names: list[str], ids: list[str]
) -> None:
    boxes = re.findall(r"^ {4}(\w+) \[label=<<b>", to_dot(chain(names, "")), re.MULTILINE)
    assert boxes == ids


def test_a_renamed_fallback_is_called_by_its_name() -> None:
    cautious = Step(Ask(), name="ask", fallback=Fallback("", name="an empty answer"))

    @flow
    def one() -> Wiring[Article]:
        return [cautious.then(END)]

    assert "* ask  [fallback an empty answer]\n" in to_text(one)


# ---------------------------------------------------------------- names

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/#@[]"),
    min_size=1,
).filter(lambda name: name == name.strip())
TRAPS = st.sampled_from(
    [
        'a"b', "<b>", "a & b", "&amp;", "1. list", "- list", "*bold*", "__init__", "_a_", "`code`",
        "end", "graph", "Node", "constructor", "direction TB", "a\\nb", "$$x$$", "fa:fa-car", "%%{init",
        "style a:", ";", "|", "{}", "()", "-->", "é漢🎉", "9", "😀",
    ]
)  # fmt: skip
LISTS = st.lists(NAMES | TRAPS, min_size=1, max_size=4, unique=True)
NOTES = st.text(max_size=20) | TRAPS


def chain(names: list[str], note: str) -> Flow[Article, []]:
    steps = [archive.with_(name=name, uses=(Resource[object](note, object),)) for name in names]

    @flow(name=names[0])
    def chained() -> Wiring[Article]:
        followers: list[Next] = [*steps[1:], END]
        return [source.then(target) for source, target in zip(steps, followers, strict=True)]

    return chained


def shown(text: str) -> str:
    """*text* as a picture can show it at all."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]", "\ufffd", text)


def mermaid_boxes(picture: str) -> list[tuple[str, ...]]:
    """What the boxes say, as Mermaid decodes it; fails on a line that is anything but a box, an arrow or a style."""
    boxes: list[tuple[str, ...]] = []
    for line in picture.splitlines()[1:]:
        box = re.fullmatch(r' *\w+(?:\[|\(\[|\(\(\()"([^"]*)"(?:\]|\]\)|\)\)\))', line)
        if box is None:
            assert re.fullmatch(
                r" *\w+ (-->|~~~) \w+| *(class|classDef) start.*| *class .* start", line
            )
            continue
        parts = re.fullmatch("(.*?)(?:<br/><small>(.*)</small>)?", box[1])
        assert parts is not None
        said = [part for part in parts.groups() if part is not None]
        assert not re.search(
            "[<>&`*\\\\;]", "".join(re.sub("#[0-9]+;", "", part) for part in said)
        )
        boxes.append(
            tuple(re.sub("#([0-9]+);", lambda code: chr(int(code[1])), part) for part in said)
        )
    return boxes


@given(LISTS, NOTES)
def test_mermaid_shows_any_name_as_it_is(names: list[str], note: str) -> None:
    boxes = mermaid_boxes(to_mermaid(chain(names, note)))
    visible = [tuple(part.replace("\u2060", "") for part in box) for box in boxes]
    expected = [(names[0],), *((name, f"uses {note}") for name in names), ("end",)]
    assert visible == [
        tuple(shown(part).replace("\u2060", "") for part in box) for box in expected
    ]


def test_mermaid_is_kept_from_making_breaks_icons_and_formulas_of_decoded_text() -> None:
    boxes = mermaid_boxes(to_mermaid(chain(["C:\\new fa:fa-car $$x$$"], "")))
    assert boxes[1][0] == "C:\\\u2060new fa:\u2060fa-car $\u2060$x$\u2060$"


def test_mermaid_does_not_find_a_direction_in_a_name() -> None:
    picture = to_mermaid(chain(["my direction TB"], "direction LR"))
    assert (
        'my_direction_TB["my #100;irection TB<br/><small>uses #100;irection LR</small>"]'
        in picture
    )


@given(LISTS, NOTES)
def test_dot_shows_any_name_as_it_is(names: list[str], note: str) -> None:
    picture = to_dot(chain(names, note))
    box = r"^    \w+ \[label=<<b>(.*)</b><br/><font [^>]*>(.*)</font>>\]$"
    labels = re.findall(box, picture, re.MULTILINE)
    assert not any(set(label) & set('<>"]') for pair in labels for label in pair)
    said = [tuple(html.unescape(label) for label in pair) for pair in labels]
    assert said == [(shown(name), shown(f"uses {note}")) for name in names]


@given(LISTS, NOTES)
def test_text_has_a_line_for_each_thing_whatever_its_name(names: list[str], note: str) -> None:
    picture = to_text(chain(names, note))
    assert len(picture.split("\n")) == len(picture.splitlines()) + 1 == 2 + 2 * len(names)


def test_the_same_flow_gives_the_same_pictures_in_every_process() -> None:
    source = (
        "from agentflow_trio.flow import flow, step\nfrom agentflow_trio.flow.pictures import to_dot, to_mermaid, to_text\n"
        "from agentflow_trio.types import END\n"
        "@step\n"
        "async def a(state, *, x, y): ...\n"
        "@step\n"
        "async def b(state): ...\n"
        "@flow\n"
        "def f():\n"
        "    return [a.to(x=b, y=END).catch(ValueError, OSError, to=b), b.then(END)]\n"
        "print(to_dot(f), to_mermaid(f), to_text(f))\n"
    )
    home = str(Path(agentflow_trio.__file__).parents[1])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": home},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("draw", [to_dot, to_mermaid, to_text])
def test_pictures_end_with_a_line_break_and_have_no_trailing_spaces(draw: object) -> None:
    assert callable(draw)
    picture = str(draw(editorial))
    assert picture.endswith("\n")
    assert not picture.endswith("\n\n")
    assert not re.search(r" $", picture, re.MULTILINE)
