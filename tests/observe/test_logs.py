"""The log of runs: a record per event, and fields for whatever is logged inside."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import structlog
import trio
from structlog.contextvars import bound_contextvars, get_contextvars
from trio.testing import MockClock

from agentflow_trio import END, Engine, FlowFailedError, RetryPolicy, Wiring, flow, step
from agentflow_trio.events import (
    EVENT_TYPES,
    AlertFired,
    CleanupOverrun,
    ExecutionEvent,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    Progress,
    RunEnded,
    RunStarted,
    ThreadEnded,
)
from agentflow_trio.observe.logs import LEVELS, Level, Logs, console_logger, json_logger
from agentflow_trio.ports import SelectiveObserver, StepScope, Where
from agentflow_trio.testing import simulate


@attrs.define
class Notes:
    log: list[str] = attrs.field(factory=list[str])


@attrs.define
class Kept:
    """A logger that keeps its records: level, event, fields."""

    records: list[tuple[int, str, dict[str, object]]] = attrs.field(
        factory=list[tuple[int, str, dict[str, object]]]
    )

    def log(self, level: int, event: str, **fields: object) -> None:
        self.records.append((level, event, {**get_contextvars(), **fields}))


STARTED = RunStarted(
    run_id="r",
    seq=0,
    path="f",
    timestamp=100.0,
    flow="f",
    definition_hash="d",
    seed=7,
    schema_version=1,
    wall_time=1_000_000.5,
)
ENDED = RunEnded(
    run_id="r",
    seq=9,
    path="f",
    timestamp=102.0,
    duration_ms=2000.0,
    flow="f",
    outcome="success",
    exit=None,
    steps=1,
    error=None,
)
FAILED = NodeFailed(
    run_id="r",
    seq=2,
    path="f/g/a#2",
    timestamp=101.25,
    duration_ms=250.0,
    phase="exec",
    attempt=3,
    error="ValueError",
    message="no",
)


def lines(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


# ---------------------------------------------------------------- records


def test_a_record_says_what_the_event_says_with_the_values_as_they_are() -> None:
    kept = Kept()
    logs = Logs(kept)
    logs.observe(STARTED)
    logs.observe(FAILED)
    assert kept.records[1] == (
        40,
        "node_error",
        {
            "timestamp": "1970-01-12T13:46:41.750000Z",
            "run_id": "r",
            "seq": 2,
            "flow": "f",
            "path": "f/g/a#2",
            "node_id": "a",
            "duration_ms": 250.0,
            "phase": "exec",
            "attempt": 3,
            "error": "ValueError",
            "message": "no",
        },
    )


def test_what_an_event_does_not_say_is_left_out() -> None:
    kept = Kept()
    Logs(kept, level="debug").observe(
        NodeSucceeded(run_id="r", seq=1, path="f/a", timestamp=1.0, exit=None)
    )
    assert [*kept.records[0][2]] == ["timestamp", "run_id", "seq", "flow", "path", "node_id"]


def test_what_belongs_to_no_run_says_none() -> None:
    kept = Kept()
    fired = AlertFired(
        timestamp=5.0,
        alert="slow",
        severity="page",
        condition="rate(f.error_count[60s])",
        value=3.0,
        threshold=2.0,
    )
    Logs(kept).observe(fired)
    assert kept.records == [
        (
            30,
            "alert_fired",
            {
                "timestamp": "1970-01-01T00:00:05.000000Z",
                "alert": "slow",
                "severity": "page",
                "condition": "rate(f.error_count[60s])",
                "value": 3.0,
                "threshold": 2.0,
            },
        )
    ]


def test_no_field_has_a_name_that_structlog_uses_itself() -> None:
    taken = {"event", "exc_info", "exception", "level", "logger", "stack", "stack_info"}
    for kind in EVENT_TYPES.values():
        odd = {"timestamp": 0.0, "wall_time": 0.0, "outcome": "error"}
        names: list[str] = [field.name for field in attrs.fields(kind)]
        values: dict[str, Any] = {name: odd.get(name, "x") for name in names}
        kept = Kept()
        Logs(kept, level="debug").observe(kind(**values))
        (record,) = kept.records
        assert not taken & record[2].keys()
        added = {"flow", "node_id"} - values.keys()
        assert len(record[2]) == len(values.keys() - {"own"}) + len(added)


def test_the_stack_of_an_event_is_called_frames() -> None:
    kept = Kept()
    Logs(kept).observe(
        CleanupOverrun(
            run_id="r",
            seq=3,
            path="f/a",
            timestamp=0.0,
            callback="close",
            grace=5.0,
            stack=("close (x.py:3)",),
        )
    )
    assert kept.records[0][2]["frames"] == ("close (x.py:3)",)


# ---------------------------------------------------------------- levels


def test_every_kind_of_event_has_a_level() -> None:
    assert {*LEVELS} == {*EVENT_TYPES.values()}


@pytest.mark.parametrize(
    ("outcome", "level"), [("success", 20), ("cancelled", 30), ("error", 40)]
)
def test_the_end_of_a_run_matters_by_its_outcome(outcome: Any, level: int) -> None:
    kept = Kept()
    logs = Logs(kept)
    logs.observe(attrs.evolve(ENDED, outcome=outcome))
    assert kept.records[0][0] == level
    flat = Logs(kept, levels={RunEnded: "critical"})
    flat.observe(attrs.evolve(ENDED, outcome=outcome))
    assert kept.records[1][0] == 50


def test_what_is_not_logged_is_not_even_wanted() -> None:
    assert {*EVENT_TYPES.values()} == Logs(Kept(), level="debug").wants
    loud = {kind for kind, level in LEVELS.items() if level in {"warning", "error"}}
    assert loud | {RunStarted, RunEnded} == Logs(Kept(), level="warning").wants
    assert {RunStarted, RunEnded} == Logs(Kept(), level="critical").wants
    changed = Logs(Kept(), level="critical", levels={Progress: "critical"})
    assert {RunStarted, RunEnded, Progress} == changed.wants


def test_what_is_wanted_for_its_time_only_is_not_logged() -> None:
    kept = Kept()
    logs = Logs(kept, level="warning")
    for event in (STARTED, FAILED, ENDED):
        logs.observe(event)
    assert [event for _, event, _ in kept.records] == ["node_error"]


def test_a_level_that_does_not_exist_is_refused() -> None:
    loud: Any = "loud"
    known = "debug, info, warning, error, critical, not 'loud'"
    with pytest.raises(ValueError, match=f"^Logs: level must be one of {known}$"):
        Logs(Kept(), level=loud)
    with pytest.raises(ValueError, match=r"^Logs: levels\[NodeFailed\] must be one of "):
        Logs(Kept(), levels={NodeFailed: loud})


# ---------------------------------------------------------------- time


def test_times_go_on_after_the_end_of_the_run() -> None:
    kept = Kept()
    logs = Logs(kept)
    logs.observe(STARTED)
    logs.observe(ENDED)
    late = ThreadEnded(
        run_id="r", seq=10, path="f/a", timestamp=160.0, function="g", error=None, message=None
    )
    logs.observe(late)
    assert [record["timestamp"] for _, _, record in kept.records] == [
        "1970-01-12T13:46:40.500000Z",
        "1970-01-12T13:46:42.500000Z",
        "1970-01-12T13:47:40.500000Z",
    ]


def test_runs_read_back_each_have_their_time() -> None:
    kept = Kept()
    logs = Logs(kept)
    logs.observe(STARTED)
    logs.observe(attrs.evolve(STARTED, run_id="other", wall_time=0.0))
    logs.observe(FAILED)
    assert kept.records[2][2]["timestamp"] == "1970-01-12T13:46:41.750000Z"


@pytest.mark.parametrize("wall", [math.inf, math.nan, 1e20, -1e20])
def test_a_time_that_no_calendar_knows_is_a_number(wall: float) -> None:
    kept = Kept()
    Logs(kept).observe(attrs.evolve(STARTED, timestamp=0.0, wall_time=wall))
    assert kept.records[0][2]["timestamp"] == str(wall)


def test_runs_whose_end_nobody_tells_are_forgotten_at_last() -> None:
    logs = Logs(Kept(), level="critical")
    for number in range(20_001):
        logs.observe(attrs.evolve(STARTED, run_id=str(number)))
    assert len(logs._times._runs) == 20_000


async def test_without_a_run_the_machine_says_the_time() -> None:
    kept = Kept()
    logs = Logs(kept, level="debug")
    now = trio.current_time()
    logs.observe(Progress(run_id="", seq=-1, path="", timestamp=now, fraction=0.1, text=""))
    written = datetime.fromisoformat(str(kept.records[0][2]["timestamp"]))
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


def test_what_was_read_back_says_nothing_about_the_time_of_a_run() -> None:
    file = io.StringIO()
    logs = Logs(Kept())
    logs.observe(STARTED)

    async def main() -> None:
        with logs.around(RUN._replace(run_id="later")):
            json_logger(file).info("now")

    trio.run(main)
    written = datetime.fromisoformat(lines(file)[0]["timestamp"])
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


# ---------------------------------------------------------------- in runs


def newsroom() -> Any:
    twice = RetryPolicy(max_attempts=2, base_delay=1.0, jitter=0.0)

    @step(retry=twice)
    async def fetch(notes: Notes) -> None:
        raise OSError("down\n2000-01-01T00:00:00.000000Z [info    ] run_end outcome=success")

    @flow
    def news() -> Wiring[Notes]:
        return [fetch.then(END)]

    return news


def log_of(make: Callable[[io.StringIO], Any], seed: int, level: Level = "debug") -> str:
    file = io.StringIO(newline="")
    flow_ = newsroom()

    async def main() -> None:
        async with Engine(observers=[Logs(make(file), level=level)]) as engine:
            with pytest.raises(FlowFailedError):
                await engine.run(flow_, Notes())

    with simulate(main, seed=seed) as sim:
        sim.run()
    return file.getvalue()


def test_a_simulated_run_is_logged_line_by_line_in_its_own_time() -> None:
    written = log_of(console_logger, 1, "warning").splitlines()
    forged = r'"down\n2000-01-01T00:00:00.000000Z [info    ] run_end outcome=success"'
    failed = f"error=OSError message={forged}"

    def line(second: int, level: str, event: str, said: str, seq: int) -> str:
        at = f"2000-01-01T00:00:0{second}.000000Z [{level:<8}]"
        run = f"flow=news node_id=fetch run_id=sim-1-1 seq={seq}"
        return f"{at} {event} path=news/fetch {said} {run}"

    first = f"attempt=1 duration_ms=0 guard=fetch {failed}"
    second = f"attempt=2 duration_ms=0 guard=fetch {failed}"
    given_up = "guard=fetch attempts=2 elapsed=1 reason=attempts"
    assert written[:5] == [
        line(0, "warning", "attempt_failed", first, 2),
        line(0, "warning", "retry_scheduled", "attempt=2 guard=fetch delay=1", 3),
        line(1, "warning", "attempt_failed", second, 4),
        line(1, "warning", "gave_up", given_up, 5),
        line(1, "error", "node_error", f"attempt=2 duration_ms=1000 phase=exec {failed}", 6),
    ]
    assert written[5].startswith("2000-01-01T00:00:01.000000Z [error   ] run_end path=news ")
    assert len(written) == 6
    assert log_of(console_logger, 1).count(forged) == 3


@pytest.mark.parametrize("make", [console_logger, json_logger])
def test_the_same_seed_makes_the_same_lines_byte_for_byte(
    make: Callable[[io.StringIO], Any],
) -> None:
    assert log_of(make, 3) == log_of(make, 3)
    assert log_of(make, 3) != log_of(make, 4)


async def test_every_event_is_logged_once(autojump_clock: MockClock) -> None:
    kept, told = Kept(), list[ExecutionEvent]()

    class Told:
        name = "told"

        def observe(self, event: ExecutionEvent, /) -> None:
            told.append(event)

    async with Engine(observers=[Logs(kept, level="debug"), Told()]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(newsroom(), Notes())
    assert [fields["seq"] for _, _, fields in kept.records] == [event.seq for event in told]
    assert len(told) == 8


# ---------------------------------------------------------------- what is logged inside

RUN = Where("run", "r", "f", "f", 1, 1, None)
STEP = Where("step", "r", "f", "f/a#2", 2, 1, None)
ITEM = Where("item", "r", "f", "f/a#2[0]", 2, 1, 0)
AGAIN = Where("attempt", "r", "f", "f/a#2[0]", 2, 3, 0)

IN_STEP = {"run_id": "r", "flow": "f", "path": "f/a#2", "visit": 2, "attempt": 1}


def test_it_is_an_observer_and_a_scope() -> None:
    logs = Logs(Kept())
    assert isinstance(logs, SelectiveObserver)
    assert isinstance(logs, StepScope)
    assert logs.name == "logs"


def test_each_stretch_binds_where_it_is_and_restores_what_was_there() -> None:
    logs = Logs(Kept())
    with bound_contextvars(request="17", item="theirs"):
        mine = {"request": "17"}
        with logs.around(RUN):
            assert get_contextvars() == mine | {"run_id": "r", "flow": "f", "path": "f"}
            with logs.around(STEP):
                assert get_contextvars() == mine | IN_STEP
                with logs.around(ITEM):
                    in_item = mine | IN_STEP | {"path": "f/a#2[0]", "item": 0}
                    assert get_contextvars() == in_item
                    with logs.around(AGAIN):
                        assert get_contextvars() == in_item | {"attempt": 3}
                    assert get_contextvars() == in_item
                assert get_contextvars() == mine | IN_STEP
        assert get_contextvars() == mine | {"item": "theirs"}


def test_it_restores_when_the_stretch_fails_and_swallows_nothing() -> None:
    with pytest.raises(ValueError, match=r"^no$"), Logs(Kept()).around(STEP):
        raise ValueError("no")
    assert get_contextvars() == {}


def test_a_run_inside_a_node_does_not_say_which_visit_of_the_outer_one() -> None:
    logs = Logs(Kept())
    inner = RUN._replace(run_id="inner")
    with logs.around(RUN), logs.around(STEP), logs.around(ITEM), logs.around(inner):
        assert get_contextvars() == {"run_id": "inner", "flow": "f", "path": "f"}


def test_a_record_of_an_event_says_nothing_of_where_it_happens_to_be_told() -> None:
    kept = Kept()
    logs = Logs(kept, level="debug")
    with bound_contextvars(request="17"), logs.around(RUN), logs.around(ITEM):
        logs.observe(NodeStarted(run_id="r", seq=1, path="f/b", timestamp=0.0))
        assert get_contextvars()["item"] == 0
    ((_, _, fields),) = kept.records
    assert fields.keys() == {"request", "timestamp", "run_id", "seq", "flow", "path", "node_id"}


async def test_child_tasks_and_threads_log_where_they_belong() -> None:
    file = io.StringIO()
    log = json_logger(file)
    logs = Logs(log)

    async def child() -> None:
        log.info("in a task")

    with logs.around(RUN), logs.around(STEP):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
        await trio.to_thread.run_sync(log.info, "in a thread")
    log.info("outside")
    in_task, in_thread, outside = lines(file)
    for said in (in_task, in_thread):
        assert {name: said[name] for name in IN_STEP} == IN_STEP
    assert outside.keys() == {"timestamp", "level", "event"}


def test_lines_of_nodes_have_the_time_of_the_run_in_a_simulation() -> None:
    file = io.StringIO()
    log = json_logger(file)
    logs = Logs(log)

    async def main() -> None:
        with logs.around(RUN):
            logs.observe(attrs.evolve(STARTED, timestamp=0.0, wall_time=946_684_800.0))
            await trio.sleep(1.5)
            await trio.to_thread.run_sync(log.info, "here")

    with simulate(main) as sim:
        sim.run()
    assert lines(file)[1]["timestamp"] == "2000-01-01T00:00:01.500000Z"


def test_the_order_of_fields_is_always_the_same() -> None:
    file = io.StringIO()
    logs = Logs(Kept())
    around = [logs.around(where) for where in (RUN, STEP, ITEM)]
    with bound_contextvars(zone="z", area="a"), around[0], around[1], around[2]:
        json_logger(file).info("said", why="because", path="elsewhere")
    assert [*lines(file)[0]] == [
        *("timestamp", "level", "event", "run_id", "flow", "path", "visit", "attempt", "item"),
        *("area", "zone", "why"),
    ]
    assert lines(file)[0]["path"] == "elsewhere"


# ---------------------------------------------------------------- the application's structlog


@contextmanager
def configured(**settings: Any) -> Iterator[None]:
    structlog.configure(**settings)
    try:
        yield
    finally:
        structlog.reset_defaults()


def test_by_default_the_logger_that_the_application_configured_is_used() -> None:
    with structlog.testing.capture_logs() as captured:
        Logs().observe(FAILED)
    (record,) = captured
    assert record["event"] == "node_error"
    assert record["log_level"] == "error"
    assert record["path"] == "f/g/a#2"


def test_loggers_made_here_do_not_care_what_is_configured() -> None:
    def nonsense(*_: object) -> str:
        return "nonsense"

    file = io.StringIO()
    with configured(processors=[nonsense]):
        json_logger(file).info("said")
    assert lines(file)[0]["event"] == "said"
