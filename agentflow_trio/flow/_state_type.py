"""Which class a flow's state is of: declared, or read from the annotation when somebody asks.

Layer: flow. Rule: defining and running evaluate no annotation; only reading JSON needs this.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from ..errors import Problem, StateTypeError
from ..types import AttrsState
from ._step import Edge

__all__ = ["declared_problems", "state_type"]

State = TypeVar("State", bound=AttrsState)


def declared_problems(state: object) -> Iterator[Problem]:
    """Whether *state*, given as ``@flow(state=...)``, is an attrs class."""
    if state is not None and not _is_state(state):
        hint = "name the class, defined with @attrs.define"
        yield Problem("bad_state", "", f"state={state!r} is no attrs class", hint)


def state_type(
    declared: type[State] | None, flow: str, wiring: Callable[..., Sequence[Edge[State]]]
) -> type[State]:
    """Return *declared*, or the class in the annotation ``-> Wiring[...]`` of *wiring*.

    Raises:
        StateTypeError: there is none, it cannot be resolved, or it is no attrs class.
    """
    return declared if declared is not None else _annotated(flow, wiring)


def _annotated(flow: str, wiring: Callable[..., object]) -> Any:  # noqa: ANN401 - known at run time
    remedy = f"write @flow(state=...) over {flow!r}"
    try:
        returns: object = typing.get_type_hints(wiring).get("return")
    except Exception as error:  # whatever evaluating the text of an annotation raises
        got = f"what flow {flow!r} is annotated with, which cannot be resolved ({error})"
        raise StateTypeError(got=got, remedy=remedy) from error
    found: list[object] = [
        state for edge in typing.get_args(returns) for state in typing.get_args(edge)
    ]
    if len(found) != 1:
        got = f"what flow {flow!r} is annotated with, which names none"
        raise StateTypeError(got=got, remedy=remedy)
    if not _is_state(found[0]):
        raise StateTypeError(got=f"{found[0]!r}, which flow {flow!r} is annotated with")
    return found[0]


def _is_state(kind: object) -> bool:
    """Whether *kind* is an attrs class, or a generic one with its parameters: ``Box[int]``."""
    plain = typing.get_origin(kind) or kind
    return isinstance(plain, type) and attrs.has(plain)
