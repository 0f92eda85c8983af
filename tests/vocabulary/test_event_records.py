"""Events are a closed union of frozen records with common fields; each says its own as text."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from typing import Any, Final, get_args

import attrs
import pytest

from agentflow_trio import events
from agentflow_trio.events import (
    EVENT_TYPES,
    AlertEvent,
    AlertFired,
    AlertResolved,
    AttemptFailed,
    BatchDone,
    BranchCancelled,
    CacheHit,
    CallRejected,
    CallTimedOut,
    Caught,
    CircuitChanged,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    FaultInjected,
    GaveUp,
    GuardEvent,
    HedgeStarted,
    HedgeWon,
    ItemFailed,
    LimitChanged,
    LoadEnded,
    LoopBlocked,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    ObserverFailed,
    Progress,
    ResourceClosed,
    ResourceOpened,
    RetryScheduled,
    Routed,
    RuleFailed,
    RunEnded,
    RunStarted,
    ThreadAbandoned,
    ThreadEnded,
    WaitEnded,
    WaitStarted,
)

HEAD: Final[dict[str, Any]] = {
    "run_id": "r1",
    "seq": 3,
    "path": "editorial/editing/review#2",
    "timestamp": 1.5,
    "duration_ms": 2.5,
}

EVENTS: Final[list[tuple[type[ExecutionEvent], dict[str, Any], Mapping[str, str]]]] = [
    (
        RunStarted,
        {
            "flow": "f",
            "definition_hash": "abc",
            "seed": 7,
            "schema_version": 1,
            "wall_time": 2.0,
        },
        {
            "flow": "f",
            "definition_hash": "abc",
            "seed": "7",
            "schema_version": "1",
            "wall_time": "2.0",
        },
    ),
    (
        RunEnded,
        {"flow": "f", "outcome": "error", "exit": None, "steps": 4, "error": "ValueError: x"},
        {"flow": "f", "outcome": "error", "steps": "4", "error": "ValueError: x"},
    ),
    (NodeStarted, {}, {}),
    (NodeSucceeded, {"exit": "good"}, {"exit": "good"}),
    (NodeSucceeded, {"exit": None}, {}),
    (
        NodeFailed,
        {"phase": "exec", "attempt": 2, "error": "ValueError", "message": "x"},
        {"phase": "exec", "attempt": "2", "error": "ValueError", "message": "x"},
    ),
    (NodeCancelled, {"phase": "post", "attempt": 1}, {"phase": "post", "attempt": "1"}),
    (Routed, {"exit": None, "target": "end"}, {"target": "end"}),
    (
        Caught,
        {"error": "OSError", "message": "", "target": "archive"},
        {"error": "OSError", "message": "", "target": "archive"},
    ),
    (BatchDone, {"done": 3, "failed": 1, "total": None}, {"done": "3", "failed": "1"}),
    (
        ItemFailed,
        {"attempt": 1, "error": "E", "message": "m", "tolerated": True},
        {"attempt": "1", "error": "E", "message": "m", "tolerated": "True"},
    ),
    (BranchCancelled, {"reason": "stop"}, {"reason": "stop"}),
    (Progress, {"fraction": 0.5, "text": "half"}, {"fraction": "0.5", "text": "half"}),
    (
        CleanupOverrun,
        {"callback": "close", "grace": 5.0, "stack": ("a", "b")},
        {"callback": "close", "grace": "5.0", "stack": "('a', 'b')"},
    ),
    (
        LoopBlocked,
        {"seconds": 0.5, "task": "t", "stack": ("a",)},
        {"seconds": "0.5", "task": "t", "stack": "('a',)"},
    ),
    (ThreadAbandoned, {"function": "spin"}, {"function": "spin"}),
    (
        ThreadEnded,
        {"function": "spin", "error": None, "message": None},
        {"function": "spin"},
    ),
    (
        ObserverFailed,
        {"observer": "metrics", "reason": "slow"},
        {"observer": "metrics", "reason": "slow"},
    ),
    *(
        (kind, {"guard": "g", **fields}, {"guard": "g", **texts})
        for kind, fields, texts in (
            (CallRejected, {"reason": "open", "retry_after": None}, {"reason": "open"}),
            (WaitStarted, {"waiting": 2}, {"waiting": "2"}),
            (
                WaitEnded,
                {"outcome": "admitted", "waited": 0.5},
                {"outcome": "admitted", "waited": "0.5"},
            ),
            (LimitChanged, {"before": 1, "limit": 2}, {"before": "1", "limit": "2"}),
            (
                CircuitChanged,
                {
                    "before": "closed",
                    "state": "open",
                    "generation": 1,
                    "cause": "failures",
                    "retry_after": 30.0,
                },
                {
                    "before": "closed",
                    "state": "open",
                    "generation": "1",
                    "cause": "failures",
                    "retry_after": "30.0",
                },
            ),
            (
                AttemptFailed,
                {"attempt": 1, "error": "E", "message": "m"},
                {"attempt": "1", "error": "E", "message": "m"},
            ),
            (RetryScheduled, {"attempt": 2, "delay": 0.1}, {"attempt": "2", "delay": "0.1"}),
            (
                GaveUp,
                {"attempts": 3, "elapsed": 0.5, "reason": "attempts"},
                {"attempts": "3", "elapsed": "0.5", "reason": "attempts"},
            ),
            (CallTimedOut, {"seconds": 3.0}, {"seconds": "3.0"}),
            (ResourceOpened, {"size": 1}, {"size": "1"}),
            (
                ResourceClosed,
                {"reason": "broken", "size": 0},
                {"reason": "broken", "size": "0"},
            ),
            (RuleFailed, {"error": "E", "message": "m"}, {"error": "E", "message": "m"}),
            (FallbackUsed, {"error": "E", "message": "m"}, {"error": "E", "message": "m"}),
            (
                HedgeStarted,
                {"attempt": 2, "reason": "delay"},
                {"attempt": "2", "reason": "delay"},
            ),
            (HedgeWon, {"attempt": 2, "attempts": 3}, {"attempt": "2", "attempts": "3"}),
            (CacheHit, {"source": "stored"}, {"source": "stored"}),
            (
                LoadEnded,
                {"outcome": "loaded", "callers": 2},
                {"outcome": "loaded", "callers": "2"},
            ),
            (
                FaultInjected,
                {"fault": "latency", "delay": 0.5, "error": ""},
                {"fault": "latency", "delay": "0.5", "error": ""},
            ),
        )
    ),
    *(
        (
            kind,
            {
                "alert": "errors",
                "severity": "page",
                "condition": "f.error_count",
                "value": 4.0,
                "threshold": 3.0,
            },
            {
                "alert": "errors",
                "severity": "page",
                "condition": "f.error_count",
                "value": "4.0",
                "threshold": "3.0",
            },
        )
        for kind in (AlertFired, AlertResolved)
    ),
]
each_event = pytest.mark.parametrize(
    ("kind", "fields", "metadata"),
    EVENTS,
    ids=[f"{kind.event_type}{index}" for index, (kind, _, _) in enumerate(EVENTS)],
)


@each_event
def test_an_event_tells_its_own_fields_as_metadata(
    kind: type[ExecutionEvent], fields: dict[str, Any], metadata: Mapping[str, str]
) -> None:
    event = kind(**HEAD, **fields)
    assert event.metadata == metadata
    assert event.node_id == "review"
    assert (event.timestamp, event.duration_ms) == (1.5, 2.5)


@each_event
def test_an_event_is_a_frozen_value_with_named_fields(
    kind: Any, fields: dict[str, Any], metadata: Mapping[str, str]
) -> None:
    event = kind(**HEAD, **fields)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.seq = 4
    with pytest.raises(TypeError):
        kind("r1", 3)
    assert event == kind(**HEAD, **fields) == copy.deepcopy(event)
    assert pickle.loads(pickle.dumps(event)) == event
    assert event != kind(**{**HEAD, "seq": 4}, **fields)
    assert hash(event) == hash(kind(**HEAD, **fields))


def test_the_duration_may_be_left_out() -> None:
    head = {name: value for name, value in HEAD.items() if name != "duration_ms"}
    assert NodeStarted(**head).duration_ms is None


@pytest.mark.parametrize(
    ("path", "node"),
    [
        ("flow", "flow"),
        ("flow/write", "write"),
        ("flow/write#2", "write"),
        ("flow#3/write@2", "write"),
        ("digest/condense[17]", "condense"),
        ("a/b c#2@3[4]", "b c"),
        ("", ""),
    ],
)
def test_the_node_id_is_the_name_of_the_step(path: str, node: str) -> None:
    assert NodeStarted(**{**HEAD, "path": path}).node_id == node


def test_a_guard_alone_knows_of_no_run() -> None:
    event = WaitStarted(guard="g", timestamp=1.0, waiting=1)
    assert (event.run_id, event.seq, event.path, event.node_id) == ("", -1, "", "")
    assert event.metadata == {"guard": "g", "waiting": "1"}
    assert {*get_args(GuardEvent)} < {*get_args(ExecutionEvent)}


def test_an_alert_belongs_to_no_run() -> None:
    said: dict[str, Any] = {
        "alert": "a",
        "severity": "warning",
        "condition": "f.x",
        "value": 2.0,
    }
    event = AlertFired(timestamp=1.0, threshold=1.0, **said)
    assert (event.run_id, event.seq, event.path, event.node_id) == ("", -1, "", "")
    assert {*get_args(AlertEvent)} < {*get_args(ExecutionEvent)}


def test_the_union_is_closed_and_every_kind_has_a_type_of_its_own() -> None:
    union = get_args(ExecutionEvent)
    exported = [
        kind
        for name in events.__all__
        if isinstance(kind := getattr(events, name), type) and attrs.has(kind)
    ]
    assert list(EVENT_TYPES.values()) == list(union)
    assert {*union} == {*exported} == {kind for kind, _, _ in EVENTS}
    assert [kind.event_type for kind in union] == [*EVENT_TYPES]
    assert [*EVENT_TYPES] == [
        "run_start",
        "run_end",
        "node_start",
        "node_success",
        "node_error",
        "node_cancelled",
        "routed",
        "caught",
        "fallback_used",
        "batch",
        "item_failed",
        "branch_cancelled",
        "progress",
        "cleanup_overrun",
        "thread_abandoned",
        "thread_ended",
        "loop_blocked",
        "observer_failed",
        "rejected",
        "wait_start",
        "wait_end",
        "limit_changed",
        "circuit_changed",
        "attempt_failed",
        "retry_scheduled",
        "gave_up",
        "timed_out",
        "resource_opened",
        "resource_closed",
        "rule_failed",
        "hedge_start",
        "hedge_won",
        "cache_hit",
        "load_end",
        "fault_injected",
        "alert_fired",
        "alert_resolved",
    ]


def test_no_kind_can_be_derived_from() -> None:
    """`final` is for checkers; the union is what every exhaustive match relies on."""
    assert all(getattr(kind, "__final__", False) for kind in EVENT_TYPES.values())
