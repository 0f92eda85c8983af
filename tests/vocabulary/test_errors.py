"""Every error has fields for programs and one sentence for people, and copies and pickles keep both."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, Final

import attrs
import pytest

from agentflow_trio import errors
from agentflow_trio.errors import (
    AgentFlowError,
    BranchCancelledError,
    BulkheadFullError,
    CircuitOpenError,
    CleanupOverrunError,
    CodecError,
    CutOff,
    DeadlineExceededError,
    DefinitionError,
    EngineClosedError,
    ExtraMissingError,
    Failure,
    FlowAbortedError,
    FlowDefinitionError,
    FlowFailedError,
    GuardInUseError,
    GuardMisuseError,
    GuardReentryError,
    LaggedError,
    LimitReachedError,
    LoadFailedError,
    LoadShedError,
    MaxVisitsError,
    MergeConflictError,
    Mismatch,
    NoBranchError,
    NoStepError,
    NotAwaitableError,
    NotPicklableError,
    PipelineDefinitionError,
    PoolClosedError,
    PoolExhaustedError,
    Problem,
    RateLimitedError,
    RejectedError,
    ResourceError,
    RunCancelledError,
    SelfWaitError,
    StateForkError,
    StateKeyError,
    StateTypeError,
    StepDefinitionError,
    StepEndedError,
    StepLimitError,
    TooManyRunsError,
    UnknownBranchError,
    WorkerDiedError,
    WrongExitError,
    WrongItemsError,
    WrongOutputsError,
)

TWO: Final = (Problem("a", "s", "first", "do this"), Problem("b", "", "second"))
PLACE: Final = Failure(path="flow/write#2", phase="exec", attempt=2, elapsed=1.5)
OTHER: Final = Failure(path="flow/read", phase="cleanup", attempt=1, elapsed=0.25)
CUT: Final = CutOff(path="flow/write", phase="exec", attempt=1, elapsed=3.0)


ONLY_BRANCHES: Final = (
    "only branches of parallel and race, as 'digest/all/news', and items of each and batch, as 'digest/condense[17]', "
    "can be cancelled by path, not steps or nested flows; without at= the whole run is"
)


class CustomError(AgentFlowError):
    """A program may add errors of its own."""

    where: str
    often: int = 1

    def __str__(self) -> str:
        return f"{self.where} x{self.often}"


ERRORS: Final[list[tuple[AgentFlowError, str]]] = [
    (AgentFlowError(), ""),
    (CustomError(where="here"), "here x1"),
    (DefinitionError(name="n", problems=TWO[:1]), "definition 'n': first: do this"),
    (
        DefinitionError(name="n", problems=TWO),
        "definition 'n' has 2 problems:\n  1. first: do this\n  2. second",
    ),
    (StepDefinitionError(name="n", problems=TWO[1:]), "step 'n': second"),
    (FlowDefinitionError(name="n", problems=TWO[1:]), "flow 'n': second"),
    (PipelineDefinitionError(name="n", problems=TWO[1:]), "pipeline 'n': second"),
    (
        StateTypeError(got="dict"),
        "the shared state must be an attrs class, not dict; define it with @attrs.define",
    ),
    (
        StateTypeError(got="dict", remedy="think"),
        "the shared state must be an attrs class, not dict; think",
    ),
    (
        StateForkError(field="Article.client", got="Client", reason="no"),
        (
            "Article.client holds a Client, which cannot be copied (no); "
            "lend it to steps as a Resource, or keep a frozen value here"
        ),
    ),
    (
        MergeConflictError(field="Article.draft", branches=("web", "papers")),
        (
            "Article.draft was changed by web and papers at once; "
            "give it a rule, as in field(metadata=merged_by(added)), or let one of them write"
        ),
    ),
    (
        MergeConflictError(
            field="Article.notes", branches=("a", "b", "c"), reason="not added to"
        ),
        "Article.notes was changed by a and b and c at once, and its rule refuses: not added to",
    ),
    (
        ExtraMissingError(what="to_process()", extra="cpu"),
        'to_process() needs an extra; run  pip install "agentflow_trio[cpu]"',
    ),
    (
        NotPicklableError(function="crunch", what="argument 2", reason="TypeError: no"),
        (
            "to_process(crunch): argument 2 cannot be passed between processes (TypeError: no); call a function "
            "of a module, with arguments and a result that pickle can copy, or use to_thread()"
        ),
    ),
    (
        WorkerDiedError(function="crunch", exit_code=-9),
        (
            "the process that called crunch died of signal 9; "
            "a crash in C code or a lack of memory may be why"
        ),
    ),
    (
        WorkerDiedError(function="", exit_code=1),
        (
            "an idle worker process died (exit code 1); "
            "does the program that was started say  if __name__ == '__main__':  ?"
        ),
    ),
    (StateKeyError(key="draft"), "the shared state has no 'draft'"),
    (
        StateKeyError(key="draft", near=("craft", "raft")),
        "the shared state has no 'draft'; did you mean 'craft' or 'raft'?",
    ),
    (
        CodecError(kind="Article", mismatches=(Mismatch("$.notes[3]", "str", "3"),)),
        "not a valid Article: $.notes[3]: expected str, got 3",
    ),
    (
        CodecError(
            kind="Article", mismatches=(Mismatch("$", "a", "b"), Mismatch("$.x", "c", "d"))
        ),
        "not a valid Article:\n  $: expected a, got b\n  $.x: expected c, got d",
    ),
    (
        WrongExitError(step="review", returned="None", exits=("good", "bad")),
        "step 'review' returned None, which is not one of its exits: good, bad",
    ),
    (
        WrongExitError(step="write", returned="3", exits=()),
        "step 'write' has no exits but returned 3; let it return None",
    ),
    (
        NoBranchError(step="fastest"),
        "no branch of the race 'fastest' runs: when() of each said no; let one always run",
    ),
    (
        WrongItemsError(step="embed", returned="int", expected="a Sequence"),
        "prep of step 'embed' returned int, not a Sequence",
    ),
    (
        WrongOutputsError(step="embed", items=3, returned="2"),
        (
            "exec of step 'embed' got 3 items and returned 2; "
            "return one output for each, in the same order"
        ),
    ),
    (
        NotAwaitableError(step="write", phase="exec", returned="str"),
        "exec of step 'write' gave nothing to await (str); write 'async def exec'",
    ),
    (
        DeadlineExceededError(limit="timeout of the run", seconds=3.0),
        "timeout of the run (3 s) ran out",
    ),
    (
        DeadlineExceededError(
            limit="timeout of a", seconds=0.5, spent={"a": 0.25, "b": 0.125, "c": 0.1, "d": 0.0}
        ),
        "timeout of a (0.5 s) ran out; spent: a 0.25 s, b 0.125 s, c 0.1 s",
    ),
    (
        MaxVisitsError(step="flow/write", max_visits=3),
        (
            "flow/write would be visited more than max_visits=3 times; "
            "raise it, or look at who routes back"
        ),
    ),
    (
        StepLimitError(max_steps=9, busiest={"flow/a": 5, "flow/b": 4}),
        "the run reached max_steps=9; busiest: flow/a (5 visits), flow/b (4 visits)",
    ),
    (
        CleanupOverrunError(path="flow/a", callback="close", grace=5.0),
        "cleanup close of flow/a did not end within 5 s",
    ),
    (
        CleanupOverrunError(
            path="flow/a", callback="close", grace=5.0, stack=("x (f:1)", "y (f:2)")
        ),
        "cleanup close of flow/a did not end within 5 s at y (f:2)",
    ),
    (ResourceError(resource="http", step="", reason="is odd"), "resource 'http': is odd"),
    (
        ResourceError(resource="http", step="ask", reason="is odd"),
        "resource 'http' of step 'ask': is odd",
    ),
    (
        NoStepError(),
        (
            "no step is running here; "
            "current_step() works inside a step's phases and the tasks they wait for"
        ),
    ),
    (NoStepError(reason="not now"), "not now"),
    (
        StepEndedError(path="flow/a"),
        "the visit of flow/a is over; ask current_step() again in each visit",
    ),
    (
        SelfWaitError(run_id="r1"),
        "run r1 cannot wait for itself; use request_cancel(), which does not wait",
    ),
    (
        EngineClosedError(),
        "this engine is not open; use it inside 'async with Engine(...) as engine:'",
    ),
    (TooManyRunsError(max_runs=3), "the engine already has 3 runs, its max_runs"),
    (
        LaggedError(missed=3),
        (
            "the subscriber fell behind and missed 3 events; "
            "read faster, or use when_full='drop_oldest'"
        ),
    ),
    (
        SelfWaitError(run_id="r1", instead="request_drain()"),
        "run r1 cannot wait for itself; use request_drain(), which does not wait",
    ),
    (
        BranchCancelledError(path="flow/all/news", reason="too slow"),
        "flow/all/news was cancelled: too slow",
    ),
    (
        UnknownBranchError(
            path="flow/all/new", near=("flow/all/news", "flow/all/nets"), live=3
        ),
        (
            "no branch or item is going on at 'flow/all/new' (near it: flow/all/news, flow/all/nets); "
            f"{ONLY_BRANCHES}"
        ),
    ),
    (
        UnknownBranchError(path="flow/write", near=(), live=2),
        f"no branch or item is going on at 'flow/write' (2 elsewhere); {ONLY_BRANCHES}",
    ),
    (RunCancelledError(reason="stop"), "the run was cancelled: stop"),
    (
        RunCancelledError(
            reason="stop", cut_off=(CUT, attrs.evolve(CUT, path="flow/write/in"))
        ),
        "the run was cancelled in flow/write/in: stop",
    ),
    (RejectedError(guard="g", reason="no"), "guard 'g' no"),
    (
        CircuitOpenError(guard="db", reason="open", retry_after=1.0),
        "circuit 'db' is open; retry in 1 s",
    ),
    (
        CircuitOpenError(guard="db", reason="isolated"),
        "circuit 'db' is isolated until it is closed by hand",
    ),
    (
        RateLimitedError(guard="api", reason="full", retry_after=0.25),
        "rate limiter 'api' has no room now; retry in 0.25 s",
    ),
    (
        BulkheadFullError(guard="cpu", reason="queue"),
        "bulkhead 'cpu' is full and has too many waiting",
    ),
    (PoolExhaustedError(guard="db", reason="idle"), "pool 'db' has nothing idle"),
    (LimitReachedError(guard="llm", reason="full"), "limit 'llm' is reached"),
    (LoadShedError(guard="web", reason="load"), "load shedder 'web' sheds load"),
    (GuardMisuseError(guard="g", reason="left twice"), "guard 'g': left twice"),
    (
        GuardInUseError(guard="g"),
        ("guard 'g': it is in use under another run of Trio; give each run a guard of its own"),
    ),
    (
        GuardReentryError(guard="g"),
        "guard 'g': it was entered inside its own body; it would wait for itself: leave it first, or use another",
    ),
    (
        LoadFailedError(guard="prices"),
        "guard 'prices': the load that this caller shared failed; its error is the cause",
    ),
    (
        PoolClosedError(pool="db"),
        "pool 'db' is not open; use it inside 'async with open_pool(...) as pool:'",
    ),
]


def _pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda value: pickle.loads(pickle.dumps(value, protocol))


# Pickles before protocol 3 are for Python 2, which knew no TimeoutError.
COPIES: Final[dict[str, Callable[[Any], Any]]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle{each}": _pickled(each) for each in range(3, pickle.HIGHEST_PROTOCOL + 1)},
}

copies = pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
each_error = pytest.mark.parametrize(
    ("error", "text"),
    ERRORS,
    ids=[f"{type(error).__name__}{index}" for index, (error, _) in enumerate(ERRORS)],
)


@each_error
def test_every_error_says_one_sentence(error: AgentFlowError, text: str) -> None:
    assert str(error) == text


@each_error
@copies
def test_copies_and_pickles_keep_fields_notes_and_text(
    error: AgentFlowError, text: str, make: Callable[[Any], Any]
) -> None:
    noted = copy.copy(error)
    noted.add_note("in flow/write")
    again = make(noted)
    assert type(again) is type(error)
    assert again is not noted
    assert str(again) == text
    assert repr(again) == repr(error)
    assert {name: getattr(again, name) for name in error.fields} == {
        name: getattr(error, name) for name in error.fields
    }
    assert again.__notes__ == ["in flow/write"]
    assert not hasattr(error, "__notes__")


def test_every_single_error_of_the_package_is_in_this_table() -> None:
    made = {type(error) for error, _ in ERRORS}
    missing = [
        name
        for name in errors.__all__
        if isinstance(kind := getattr(errors, name), type)
        and issubclass(kind, AgentFlowError)
        and kind not in made
    ]
    assert missing == []


def test_the_fields_of_an_error_are_its_own_and_those_of_its_bases() -> None:
    assert AgentFlowError.fields == ()
    assert FlowDefinitionError.fields == ("name", "problems")
    assert CustomError.fields == ("where", "often")
    assert repr(CustomError(where="x")) == "CustomError(where='x', often=1)"


def test_a_field_with_another_default_is_the_same_field() -> None:
    assert GuardReentryError.fields == ("guard", "reason")
    assert repr(GuardReentryError(guard="g", reason="r")) == (
        "GuardReentryError(guard='g', reason='r')"
    )


def test_a_field_that_is_missing_or_unknown_is_refused() -> None:
    make: Any = CustomError
    with pytest.raises(TypeError, match=r"^CustomError needs 'where'$"):
        make()
    with pytest.raises(TypeError, match=r"^CustomError has no field 'wehre'$"):
        make(where="x", wehre="y")


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (StateTypeError, TypeError),
        (StateForkError, TypeError),
        (StateKeyError, KeyError),
        (CodecError, ValueError),
        (NotAwaitableError, TypeError),
        (ResourceError, LookupError),
        (NoStepError, RuntimeError),
        (StepEndedError, RuntimeError),
        (SelfWaitError, RuntimeError),
        (EngineClosedError, RuntimeError),
        (GuardMisuseError, RuntimeError),
        (PoolClosedError, RuntimeError),
        (FlowFailedError, ExceptionGroup),
        (FlowAbortedError, BaseExceptionGroup),
    ],
)
def test_an_error_is_also_what_python_would_have_raised(kind: type, base: type) -> None:
    assert issubclass(kind, base)


@pytest.mark.parametrize("record", [*TWO, PLACE, CUT, Mismatch("$", "a", "b")], ids=repr)
@copies
def test_the_records_in_errors_are_values(record: object, make: Callable[[Any], Any]) -> None:
    assert make(record) == record
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        record.path = "x"  # type: ignore[attr-defined]


def test_a_failure_says_where_which_attempt_and_when() -> None:
    assert str(PLACE) == "exec of flow/write#2, attempt 2, after 1.5 s"
    assert str(OTHER) == "cleanup of flow/read, after 0.25 s"


# ---------------------------------------------------------------- groups


def tree() -> FlowFailedError[Exception]:
    """Two failures of a flow, the second a group of its own, and two of a flow in it."""
    inner: FlowFailedError[Exception] = FlowFailedError(
        "flow 'inner' failed", [KeyError("k"), OSError("o")]
    )
    inner.path, inner.state, inner.marks = "flow/inner", "inner state", (PLACE, OTHER)
    group = ExceptionGroup("two things", [TimeoutError("t"), ValueError("v2")])
    outer: FlowFailedError[Exception] = FlowFailedError(
        "flow 'flow' failed", [ValueError("v"), group, inner]
    )
    outer.path, outer.state, outer.marks = "flow", "state", (PLACE, OTHER, None)
    return outer


def stopped() -> FlowAbortedError[BaseException]:
    made: FlowAbortedError[BaseException] = FlowAbortedError(
        "flow 'flow' failed", [KeyboardInterrupt(), ValueError("v")]
    )
    made.path, made.state, made.marks = "flow", "state", (PLACE, OTHER)
    return made


REPORT: Final = """\
flow 'flow' failed: 4 failures
  exec of flow/write#2, attempt 2, after 1.5 s
    ValueError: v
  cleanup of flow/read, after 0.25 s
    ExceptionGroup: two things (2 sub-exceptions)
  exec of flow/write#2, attempt 2, after 1.5 s
    KeyError: 'k'
  cleanup of flow/read, after 0.25 s
    OSError: o"""


def test_a_report_has_two_lines_for_each_failure() -> None:
    assert tree().report() == REPORT


def test_a_report_of_one_failure_with_a_text_of_several_lines() -> None:
    one: FlowFailedError[Exception] = FlowFailedError(
        "flow 'a' failed", [ValueError("x\ny\nz")]
    )
    assert one.report() == (
        "flow 'a' failed: 1 failure\n  (place unknown)\n    ValueError: x\n      y\n      z"
    )


def test_a_report_of_what_was_stopped() -> None:
    assert stopped().report() == (
        "flow 'flow' failed: 2 failures\n"
        "  exec of flow/write#2, attempt 2, after 1.5 s\n"
        "    KeyboardInterrupt: \n"
        "  cleanup of flow/read, after 0.25 s\n"
        "    ValueError: v"
    )


def test_the_leaves_are_the_very_objects_and_a_group_of_a_node_is_one() -> None:
    failed = tree()
    first, group, inner = failed.exceptions
    assert isinstance(inner, FlowFailedError)
    assert list(failed.leaves()) == [first, group, *inner.exceptions]
    assert [failed.find(leaf) for leaf in failed.leaves()] == [PLACE, OTHER, PLACE, OTHER]
    assert failed.find(inner) is None
    assert failed.find(ValueError("v")) is None
    aborted = stopped()
    assert list(aborted.leaves()) == list(aborted.exceptions)
    assert [aborted.find(leaf) for leaf in aborted.leaves()] == [PLACE, OTHER]
    assert aborted.find(ValueError("v")) is None


def test_only_is_the_one_failure() -> None:
    one: FlowFailedError[Exception] = FlowFailedError("m", [error := ValueError("v")])
    assert one.only() is error
    with pytest.raises(ValueError, match="there are 4 failures, not one:\nflow 'flow' failed"):
        tree().only()


def test_what_split_leaves_keeps_type_path_state_and_places() -> None:
    failed = tree()
    matched, rest = failed.split(ValueError)
    assert isinstance(matched, FlowFailedError)
    assert isinstance(rest, FlowFailedError)
    for part in (matched, rest):
        assert (part.message, part.path, part.state) == ("flow 'flow' failed", "flow", "state")
    assert matched.exceptions[0] is failed.exceptions[0]
    assert [str(leaf) for leaf in matched.leaves()] == ["v", "two things (1 sub-exception)"]
    assert [matched.find(leaf) for leaf in matched.leaves()] == [PLACE, OTHER]
    assert [str(leaf) for leaf in rest.leaves()] == ["two things (1 sub-exception)", "'k'", "o"]
    assert [rest.find(leaf) for leaf in rest.leaves()] == [OTHER, PLACE, OTHER]
    inner = rest.exceptions[1]
    assert isinstance(inner, FlowFailedError)
    assert (inner.path, inner.state) == ("flow/inner", "inner state")


def test_what_subgroup_leaves_of_a_nested_flow_keeps_its_places() -> None:
    part = tree().subgroup(OSError)
    assert isinstance(part, FlowFailedError)
    assert part.report() == (
        "flow 'flow' failed: 2 failures\n"
        "  cleanup of flow/read, after 0.25 s\n"
        "    ExceptionGroup: two things (1 sub-exception)\n"
        "  cleanup of flow/read, after 0.25 s\n"
        "    OSError: o"
    )


def test_except_star_takes_out_what_it_names_and_leaves_the_rest_placed() -> None:
    seen: list[BaseException] = []

    def handle() -> None:
        try:
            raise tree()
        except* (TimeoutError, KeyError) as group:
            seen.append(group)

    with pytest.raises(FlowFailedError) as caught:
        handle()
    assert isinstance(seen[0], FlowFailedError)
    assert [seen[0].find(leaf) for leaf in seen[0].leaves()] == [OTHER, PLACE]
    assert [str(caught.value.find(leaf)) for leaf in caught.value.leaves()] == [
        str(PLACE),
        str(OTHER),
        str(OTHER),
    ]


def test_a_stopped_run_without_what_stopped_it_is_a_failed_one() -> None:
    aborted = stopped()
    interrupts, rest = aborted.split(KeyboardInterrupt)
    assert type(interrupts) is FlowAbortedError
    assert type(rest) is FlowFailedError
    assert (rest.path, rest.state, rest.marks) == ("flow", "state", (OTHER,))
    assert (interrupts.path, interrupts.state, interrupts.marks) == ("flow", "state", (PLACE,))


def test_a_group_that_was_made_by_hand_can_be_split_too() -> None:
    made: FlowFailedError[Exception] = FlowFailedError("m", [ValueError("v"), KeyError("k")])
    assert (made.path, made.state, made.marks) == ("", None, ())
    matched, rest = made.split(ValueError)
    assert isinstance(matched, FlowFailedError)
    assert isinstance(rest, FlowFailedError)
    assert matched.report() == "m: 1 failure\n  (place unknown)\n    ValueError: v"


def test_a_derived_group_knows_the_places_of_its_old_members_only() -> None:
    failed = tree()
    derived = failed.derive([failed.exceptions[1], ValueError("new")])
    assert isinstance(derived, FlowFailedError)
    assert (derived.path, derived.state, derived.marks) == ("flow", "state", (OTHER, None))


def test_a_group_that_takes_from_a_plain_one_has_no_path() -> None:
    made: FlowFailedError[Exception] = FlowFailedError("m", [error := ValueError("v")])
    made.take_from(ExceptionGroup("g", [error, KeyError("k")]), [error])
    assert (made.path, made.state, made.marks) == ("", None, (None,))


@pytest.mark.parametrize("made", [tree(), stopped()], ids=["failed", "aborted"])
@copies
def test_copies_and_pickles_of_groups_keep_path_state_places_and_notes(
    made: FlowFailedError[Exception] | FlowAbortedError[BaseException],
    make: Callable[[Any], Any],
) -> None:
    noted = copy.copy(made)
    noted.add_note("noted")
    again = make(noted)
    assert type(again) is type(made)
    assert again.report() == made.report()
    assert (again.path, again.state, again.marks) == (made.path, made.state, made.marks)
    assert again.__notes__ == ["noted"]
    assert [repr(leaf) for leaf in again.leaves()] == [repr(leaf) for leaf in made.leaves()]


def test_a_group_of_failures_holds_exceptions_only() -> None:
    with pytest.raises(TypeError):
        FlowFailedError("m", [KeyboardInterrupt()])  # type: ignore[type-var]


def test_the_questions_that_checkers_cannot_ask_with_isinstance() -> None:
    assert errors.is_tree(tree())
    assert errors.is_tree(stopped())
    assert not errors.is_tree(ExceptionGroup("g", [ValueError()]))
    assert errors.is_failed(tree())
    assert not errors.is_failed(stopped())
    assert not errors.is_failed(None)
