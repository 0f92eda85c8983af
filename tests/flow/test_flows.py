"""A flow is a checked value and a node: it runs, nests, and shows the class of its state when asked."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import attrs
import pytest

from agentflow_trio import (
    END,
    Edge,
    Flow,
    FlowDefinitionError,
    Next,
    SharedState,
    StateTypeError,
    Step,
    Wiring,
    flow,
    step,
)

T = TypeVar("T")


@attrs.define
class Article:
    draft: str = ""


@attrs.define
class Box(Generic[T]):
    content: T


@step
async def write(article: Article) -> None:
    article.draft += "w"


@step
async def triage(article: Article, *, long: Next, short: Next) -> Next:
    article.draft += "t"
    return long if len(article.draft) > 2 else short


@flow
def editing(*, published: Next, abandoned: Next) -> Wiring[Article]:
    """Write until it is long.

    Or not.
    """
    return [
        write.then(triage).catch(ValueError, to=abandoned),
        triage.to(long=published, short=write),
    ]


# ---------------------------------------------------------------- values


def test_a_flow_tells_its_name_its_lines_its_exits_and_its_docstring() -> None:
    assert editing.name == "editing"
    assert editing.exits == ("published", "abandoned")
    assert editing.start is write
    assert [edge.source for edge in editing.edges] == [write, triage]
    assert editing.doc == "Write until it is long.\n\nOr not."
    assert repr(editing) == "Flow(name='editing', exits=('published', 'abandoned'))"


def test_a_flow_without_a_docstring_has_an_empty_one() -> None:
    assert flow(lambda: [write.then(END)]).doc == ""


def test_a_flow_cannot_be_changed() -> None:
    change: Any = editing
    with pytest.raises(AttributeError):
        change.name = "other"


def test_a_copy_of_a_flow_is_the_flow_itself() -> None:
    """Its exits are the same only if they are one object."""
    assert copy.copy(editing) is editing
    assert copy.deepcopy([editing]) == [editing]


def test_flow_takes_a_name() -> None:
    @flow(name="the desk")
    def desk() -> Wiring[Article]:
        return [write.then(END)]

    assert desk.name == "the desk"
    assert flow(name="other")(lambda: [write.then(END)]).name == "other"


def test_a_tuple_of_lines_will_do_and_lines_come_in_any_order_after_the_start() -> None:
    archive = write.with_(name="archive")
    made = flow(
        lambda: (write.then(triage), archive.then(END), triage.to(long=archive, short=END))
    )
    assert made.start is write
    assert [edge.source.name for edge in made.edges] == ["write", "archive", "triage"]


def test_exits_of_a_flow_may_be_positional_parameters() -> None:
    def wiring(published: Next, abandoned: Next) -> Wiring[Article]:
        return [triage.to(long=published, short=abandoned)]

    assert flow(wiring).exits == ("published", "abandoned")


def test_a_step_may_be_in_many_flows() -> None:
    one = flow(lambda: [write.then(END)])
    two = flow(lambda: [triage.to(long=write, short=write), write.then(END)])
    assert one.start is two.edges[1].source


# ---------------------------------------------------------------- running


async def test_a_flow_runs_and_ends_by_an_exit() -> None:
    article = Article()
    result = await editing.run(article, run_id="r", seed=1)
    assert (result.state, result.exit, result.run_id) == (Article("wtwt"), "published", "r")
    assert result.visits == {"editing/write": 2, "editing/triage": 2}
    assert article == Article()


async def test_a_flow_is_a_node_and_its_exits_are_the_steps() -> None:
    edit = Step(editing)

    @flow
    def outer(*, done: Next) -> Wiring[Article]:
        return [edit.to(published=done, abandoned=edit)]

    result = await outer.run(Article())
    assert (result.state, result.exit) == (Article("wtwt"), "done")
    assert result.tail == (
        "outer/editing",
        "outer/editing/write",
        "outer/editing/triage",
        "outer/editing/write#2",
        "outer/editing/triage#2",
    )


async def test_the_three_phases_of_a_flow_can_be_called() -> None:
    article = Article()
    prepared = await editing.prep(article)
    assert prepared == article
    assert prepared is not article
    result = await editing.exec(prepared)
    assert (result.state, result.exit, article) == (Article("wtwt"), "published", Article())
    published, abandoned = Next(), Next()
    taken = await editing.post(
        article, prepared, result, published=published, abandoned=abandoned
    )
    assert taken is published
    assert article == Article("wtwt")
    by_position: Any = editing.post
    assert await by_position(article, prepared, result, published, abandoned) is published


async def test_the_three_phases_of_a_function_can_be_called() -> None:
    article = Article("text")
    node = triage.node
    prepared = await node.prep(article)
    result = await node.exec(prepared)
    assert article == Article("text")
    long, short = Next(), Next()
    assert await node.post(article, prepared, result, long=long, short=short) is long
    assert article == Article("textt")
    assert await write.node.post(article, prepared, (Article("new"), None)) is None
    assert article == Article("new")


# ---------------------------------------------------------------- another state


@attrs.define
class Desk:
    article: Article
    log: tuple[str, ...] = ()


def put(desk: Desk, article: Article) -> None:
    desk.article = article
    desk.log = (*desk.log, article.draft)


async def test_within_runs_a_flow_on_a_part_of_the_state() -> None:
    node = editing.within(lambda desk: desk.article, put)
    edit = Step(node)

    @flow
    def desk(*, done: Next) -> Wiring[Desk]:
        return [edit.to(published=done, abandoned=done)]

    before = Desk(Article("x"))
    result = await desk.run(before)
    assert result.state == Desk(Article("xwt"), ("xwt",))
    assert before == Desk(Article("x"))
    assert result.visits == {
        "desk/editing": 1,
        "desk/editing/write": 1,
        "desk/editing/triage": 1,
    }


async def test_the_three_phases_of_a_flow_within_can_be_called() -> None:
    node = editing.within(lambda desk: desk.article, put)
    outer = Desk(Article("x"))
    prepared = await node.prep(outer)
    assert prepared == Article("x")
    assert prepared is not outer.article
    result = await node.exec(prepared)
    published, abandoned = Next(), Next()
    exits: Any = {"published": published, "abandoned": abandoned}
    assert await node.post(outer, prepared, result, **exits) is published
    assert outer == Desk(Article("xwt"), ("xwt",))


def test_within_takes_plain_functions_only() -> None:
    async def get(desk: Desk) -> Article:
        return desk.article

    bad: Any = get
    with pytest.raises(FlowDefinitionError) as caught:
        editing.within(bad, 3)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "flow 'editing' has 2 problems:\n"
        f"  1. enter must be a plain function, not {get!r}: what has to wait is a step of its own\n"
        "  2. leave must be a plain function, not 3: what has to wait is a step of its own"
    )
    assert [problem.code for problem in caught.value.problems] == ["not_a_function"] * 2


# ---------------------------------------------------------------- the class of the state


def test_the_state_type_is_read_from_the_annotation() -> None:
    assert editing.state_type is Article


def test_the_state_type_may_be_declared_for_a_local_class() -> None:
    @attrs.define
    class Local:
        draft: str = ""

    @step
    async def work(state: Local) -> None: ...

    @flow(state=Local)
    def declared() -> Wiring[Local]:
        return [work.then(END)]

    @flow
    def annotated() -> Wiring[Local]:
        return [work.then(END)]

    assert declared.state_type is Local
    with pytest.raises(StateTypeError) as caught:
        _ = annotated.state_type
    assert str(caught.value) == (
        "the shared state must be an attrs class, not what flow 'annotated' is annotated with, "
        "which cannot be resolved (name 'Local' is not defined); "
        "write @flow(state=...) over 'annotated'"
    )
    assert isinstance(caught.value.__cause__, NameError)


def test_the_state_type_may_be_generic() -> None:
    @step
    async def work(box: Box[int]) -> None: ...

    @flow
    def boxed() -> Wiring[Box[int]]:
        return [work.then(END)]

    assert boxed.state_type == Box[int]


def test_the_state_type_may_be_a_shared_state_and_the_annotation_any_sequence_of_edges() -> (
    None
):
    @step
    async def work(state: SharedState) -> None: ...

    @flow
    def boards() -> Wiring[SharedState]:
        return [work.then(END)]

    @flow
    def listed() -> list[Edge[SharedState]]:
        return [work.then(END)]

    @flow
    def sequence() -> Sequence[Edge[SharedState]]:
        return [work.then(END)]

    assert boards.state_type is listed.state_type is sequence.state_type is SharedState


def test_a_flow_without_an_annotation_names_no_state_type() -> None:
    for made in (flow(lambda: [write.then(END)]), flow(unnamed)):
        with pytest.raises(StateTypeError) as caught:
            _ = made.state_type
        assert str(caught.value) == (
            "the shared state must be an attrs class, "
            f"not what flow {made.name!r} is annotated with, which names none; "
            f"write @flow(state=...) over {made.name!r}"
        )


def unnamed() -> list[Any]:
    return [write.then(END)]


def test_a_state_type_that_is_no_attrs_class_is_refused_when_asked_for() -> None:
    def wrong() -> Wiring[dict[str, object]]:
        lines: dict[str, Any] = {"right": [write.then(END)]}
        return [*lines["right"]]

    define: Any = flow
    with pytest.raises(StateTypeError) as caught:
        _ = define(wrong).state_type
    assert str(caught.value) == (
        "the shared state must be an attrs class, "
        "not dict[str, object], which flow 'wrong' is annotated with; "
        "define it with @attrs.define"
    )


# ---------------------------------------------------------------- nothing is resolved


def unresolvable(function: Any) -> Any:
    """As written under ``from __future__ import annotations``, with names that nobody defines."""
    function.__annotations__ = dict.fromkeys(
        [*function.__code__.co_varnames[: function.__code__.co_argcount], "return"],
        "No.Such[Thing",
    )
    return function


class Guess:
    @unresolvable
    async def prep(self, shared: Any) -> str:
        answer: str = shared.answer
        return answer

    @unresolvable
    async def exec(self, answer: str) -> str:
        return f"{answer}?"

    @unresolvable
    async def post(
        self, shared: Any, answer: str, result: str, *, right: Next, wrong: Next
    ) -> Next:
        shared.answer = result
        return right


async def test_defining_and_running_evaluate_no_annotation() -> None:
    fields: Any = {
        "answer": attrs.field(type="No.Such[Thing", default=""),  # type: ignore[call-overload]
        "other": attrs.field(type="Nowhere.Else", default=3),  # type: ignore[call-overload]
    }
    riddle = attrs.make_class("Riddle", fields)
    guess: Any = Step(Guess())

    @unresolvable
    async def finish(state: Any, *, done: Next) -> Next:
        state.other += 1
        return done

    finishing: Any = step(finish)

    @unresolvable
    def riddles(*, solved: Next) -> Any:
        return [guess.to(right=finishing, wrong=guess), finishing.to(done=solved)]

    made: Flow[Any, ...] = flow(riddles)
    result = await made.run(riddle("x"))
    assert (result.state.answer, result.state.other, result.exit) == ("x?", 4, "solved")
    with pytest.raises(StateTypeError, match="which cannot be resolved"):
        _ = made.state_type


# ---------------------------------------------------------------- states of every shape


@attrs.define(slots=False)
class Open:
    draft: str = ""


@attrs.define
class Partial:
    draft: str = ""
    late: int = attrs.field(init=False)


async def test_what_a_flow_adds_to_or_removes_from_a_state_arrives() -> None:
    """Attributes that are no fields, and fields that are not set, when phases are called by hand."""

    @step
    async def add(state: Open) -> None:
        state.extra = 3  # type: ignore[attr-defined]

    opened = Open()
    opened.old = 1  # type: ignore[attr-defined]
    fork = await add.node.prep(opened)
    del fork.old
    await add.node.post(opened, fork, await add.node.exec(fork))
    assert vars(opened) == {"draft": "", "extra": 3}

    @step
    async def unset(state: Partial) -> None:
        if hasattr(state, "late"):
            del state.late
        else:
            state.late = 3

    partial = Partial()
    for expected in (True, False, True):
        prepared = await unset.node.prep(partial)
        await unset.node.post(partial, prepared, await unset.node.exec(prepared))
        assert hasattr(partial, "late") is expected


async def test_a_state_that_is_no_attrs_object_is_refused_by_hand_too() -> None:
    for call in (write.node.prep, editing.prep):
        with pytest.raises(StateTypeError, match="not dict"):
            await call({})  # type: ignore[arg-type]
    post: Any = write.node.post
    with pytest.raises(StateTypeError, match="not dict"):
        await post({}, Article(), (Article(), None))


async def test_an_unset_field_stays_unset_by_hand() -> None:
    partial = Partial()

    @step
    async def nothing(state: Partial) -> None: ...

    prepared = await nothing.node.prep(partial)
    await nothing.node.post(partial, prepared, await nothing.node.exec(prepared))
    assert not hasattr(partial, "late")
