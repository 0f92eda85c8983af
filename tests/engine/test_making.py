"""Events that the engine makes: the same as those that anybody makes of the class, in a third of the time."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping

import attrs
import pytest

from agentflow_trio.engine._making import MAKERS
from agentflow_trio.events import EVENT_TYPES, ExecutionEvent

HEAD = ("run_id", "seq", "path", "timestamp", "duration_ms")
KINDS = tuple(EVENT_TYPES.values())


def own_of(kind: type[ExecutionEvent]) -> dict[str, object]:
    """A value for each field of its own: no two alike."""
    names = [field.name for field in attrs.fields(kind) if field.name not in HEAD]
    return {name: f"the {name}" for name in names}


def made(kind: type[ExecutionEvent]) -> ExecutionEvent:
    return MAKERS[kind]("run", 7, "flow/step#2", 1.5, 250.0, own_of(kind))


def by_class(kind: Callable[..., ExecutionEvent], own: Mapping[str, object]) -> ExecutionEvent:
    head = dict(zip(HEAD, ("run", 7, "flow/step#2", 1.5, 250.0), strict=True))
    return kind(**head, **own)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_is_the_same_as_one_that_its_class_makes(kind: type[ExecutionEvent]) -> None:
    event, like_it = made(kind), by_class(kind, own_of(kind))

    assert type(event) is kind
    assert event == like_it
    assert repr(event) == repr(like_it)
    assert pickle.loads(pickle.dumps(event)) == event
    assert copy.copy(event) == event


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_cannot_be_changed(kind: type[ExecutionEvent]) -> None:
    event = made(kind)

    for name in HEAD:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(event, name, None)
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            delattr(event, name)
    assert not hasattr(event, "__dict__")
