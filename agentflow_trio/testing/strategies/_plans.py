"""Fault plans: what goes wrong at the names of a flow, or at names that are given.

Layer: testing. A plan is a short script for some of the names, so that it is read call by call, and shrinks to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ...flow import Flow, Step
from .._faults import (
    Cancel,
    Delay,
    Duplicate,
    Error,
    Fault,
    Faults,
    InjectedError,
    LostReply,
    Wrong,
    always,
    script,
)
from ._hypothesis import DrawFn, SearchStrategy, st
from ._numbers import some
from ._printing import made

__all__ = ["fault_plans", "wrongs"]

_CALLS: Final = 4
"""At most so many calls of a script."""


def wrongs(
    *,
    errors: Sequence[Error] = (InjectedError,),
    longest: float = 10.0,
    effects: bool = True,
    cancels: bool = False,
) -> SearchStrategy[Wrong]:
    """What can go wrong with a call: an error, the simplest; a delay, a lost or a doubled reply; maybe the caller is gone.

    Args:
        errors: the errors, or their classes; at least one.
        longest: no delay is longer, seconds.
        effects: whether there are other things than errors.
        cancels: whether `Cancel` is one of them.
    """
    whole: list[Wrong] = [*errors]
    if effects:
        whole.append(Duplicate())
    if cancels:
        whole.append(Cancel())
    found: SearchStrategy[Wrong] = st.sampled_from(whole)
    if not effects:
        return found
    late: SearchStrategy[Wrong] = made(Delay, seconds=some(longest))
    lost: SearchStrategy[Wrong] = made(LostReply, error=st.sampled_from(errors))
    return found | lost | late


def fault_plans(
    first: Flow[Any, ...] | str,
    /,
    *more: str,
    errors: Sequence[Error] = (InjectedError,),
    longest: float = 10.0,
    effects: bool = True,
    cancels: bool = False,
) -> SearchStrategy[Faults]:
    """Plans of what goes wrong at the steps of a flow, or at such names: ``fault_plans(writing)``, ``fault_plans("save")``.

    For each name: nothing, the simplest; a script for its first calls, four at most; or the same with every call. What a
    run does not come to is no error (`Faults.if_reached`), for who draws a plan cannot know. Shrinks to no faults.

    Args:
        first: a flow, of which all steps are meant, those within steps included; or a name.
        more: further names, as `Faults` takes them.
        errors: what calls fail with.
        longest: no delay is longer, seconds.
        effects: whether there are other things than errors.
        cancels: whether the program may be cancelled.
    """
    names = [*dict.fromkeys([first] if isinstance(first, str) else _names(first)), *more]
    wrong = wrongs(errors=errors, longest=longest, effects=effects, cancels=cancels)
    before = st.lists(st.none() | wrong, max_size=_CALLS - 1)
    scripts = st.builds(_script, before, wrong)
    fault: SearchStrategy[Fault] = scripts | wrong.map(always)
    return _plans(names, fault)


def _script(before: list[Wrong | None], last: Wrong) -> Fault:
    return script([*before, last])


@st.composite  # and no map, so that Hypothesis shows the plan and not how it was made
def _plans(draw: DrawFn, names: Sequence[str], fault: SearchStrategy[Fault]) -> Faults:
    chosen = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, fault)))
    return Faults({name: chosen[name] for name in names if name in chosen}).if_reached()


def _names(flow: Flow[Any, ...]) -> Iterator[str]:
    """The names of its steps, those within steps included."""
    for edge in flow.edges:
        yield from _within(edge.source)


def _within(step: Step[Any, ...]) -> Iterator[str]:
    if step.flow is None and not step.branches:
        yield step.name
    for branch in step.branches:
        yield from _within(branch)
    if step.flow is not None:
        yield from _names(step.flow)
