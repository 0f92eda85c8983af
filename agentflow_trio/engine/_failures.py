"""What becomes of an exception: whose it is, where it arose, who catches it, and the tree that ``run()`` raises.

Layer: engine. Rules: cancellation is no failure and passes untouched; a leaf is the very object that was raised;
a group is caught only if every leaf is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import trio

from .._typing import TypeIs
from ..errors import (
    FlowAbortedError,
    FlowFailedError,
    LoadFailedError,
    NotAwaitableError,
    StepLimitError,
    WrongExitError,
    text_of,
)
from ..types import Exit, Phase
from ._hiding import conceal
from ._live import Strand
from ._plan import PlanStep
from ._trail import Place

if TYPE_CHECKING:
    from ..errors import Failure

__all__ = [
    "brief",
    "cancelled_in",
    "combined",
    "flow_failed",
    "follow",
    "has_cancelled",
    "in_flow",
    "in_step",
    "is_caught",
    "leaves",
    "mark_once",
    "must_end_all",
    "named",
    "note",
    "owe",
    "pass_notes",
    "target_of",
    "tell_suppressed",
    "what_failed",
    "without_cancelled",
]


def _is_group(error: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The single exceptions in *error*."""
    if _is_group(error):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


def brief(error: BaseException) -> dict[str, Any]:
    """An error as events tell it: the name of its class and its text, of a group those of its leaves."""
    single = list(leaves(error))
    if len(single) == 1 and not _is_group(error):
        return {"error": type(error).__name__, "message": text_of(error)}
    return {
        "error": type(error).__name__,
        "message": "; ".join(f"{type(leaf).__name__}: {text_of(leaf)}" for leaf in single),
    }


def what_failed(error: BaseException) -> BaseException | None:
    """What there is besides cancellation."""
    failed = [leaf for leaf in leaves(error) if not isinstance(leaf, trio.Cancelled)]
    if not failed:
        return None
    return failed[0] if len(failed) == 1 else BaseExceptionGroup("", failed)


def without_cancelled(error: BaseException) -> BaseException | None:
    """*error* without the cancellation in it, its groups otherwise as they were; None if there is nothing else."""
    if not has_cancelled(error):
        return error
    return error.split(trio.Cancelled)[1] if _is_group(error) else None


def cancelled_in(error: BaseException) -> BaseException | None:
    """A Cancelled in *error*, if there is one: of many that a group of tasks raised, one says it all."""
    return next((leaf for leaf in leaves(error) if isinstance(leaf, trio.Cancelled)), None)


def must_end_all(error: BaseException) -> bool:
    """Whether nothing may go on after *error*: it is no plain failure, or the step limit of the whole run."""
    return any(
        not isinstance(leaf, Exception) or isinstance(leaf, StepLimitError)
        for leaf in leaves(error)
    )


def has_cancelled(error: BaseException) -> bool:
    """Whether cancellation is among what happened."""
    return isinstance(error, trio.Cancelled) or any(
        isinstance(leaf, trio.Cancelled) for leaf in leaves(error)
    )


def _passes(error: BaseException) -> bool:
    """Whether it leaves a run as it is: cancellation alone, or a single KeyboardInterrupt, SystemExit or the like."""
    if isinstance(error, Exception):
        return False
    return not _is_group(error) or all(
        isinstance(leaf, trio.Cancelled) for leaf in leaves(error)
    )


def is_caught(error: BaseException, kinds: tuple[type[Exception], ...]) -> bool:
    """Whether a catch or fallback of *kinds* takes *error*: itself, or every leaf; never cancellation or the step limit."""
    if must_end_all(error):
        return False
    return isinstance(error, kinds) or all(_fits(leaf, kinds) for leaf in leaves(error))


def _fits(leaf: BaseException, kinds: tuple[type[Exception], ...]) -> bool:
    """Whether it is one of *kinds*, or the load that it shared with others failed with one."""
    if isinstance(leaf, kinds):
        return True
    cause = leaf.__cause__ if isinstance(leaf, LoadFailedError) else None
    return cause is not None and is_caught(cause, kinds)


def target_of(step: PlanStep, error: BaseException) -> PlanStep | None:
    """Where the step's edge routes *error*, the first catch that fits."""
    return next(
        (catch.target for catch in step.catches if is_caught(error, catch.errors)), None
    )


def follow(step: PlanStep, chosen: object) -> PlanStep:
    """Where *chosen*, which came back from *step*, leads.

    Raises:
        WrongExitError: it is none of its exits.
    """
    try:
        return step.routes[chosen]
    except (KeyError, TypeError):
        raise _wrong_exit(step, chosen) from None


def _wrong_exit(step: PlanStep, chosen: object) -> WrongExitError:
    """The error for a ``post`` that returned *chosen*."""
    returned = f"the exit {chosen.name!r}" if isinstance(chosen, Exit) else repr(chosen)
    return WrongExitError(
        step=step.name, returned=returned, exits=tuple(exit_.name for exit_ in step.exits)
    )


_CALLERS = tuple(
    f"{__package__}.{name}"
    for name in ("_sequence", "_visit", "_attempts", "_branches", "_items", "_trying")
)
"""The modules that await phases."""


def named(step: PlanStep, phase: str, error: BaseException) -> BaseException:
    """Return *error*, or its better name if it is Python's complaint that a phase gave nothing to await."""
    if isinstance(error, TypeError) and "'await' expression" in text_of(error):
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None and trace.tb_frame.f_globals.get("__name__") in _CALLERS:
            returned = str(error).removeprefix("object ").partition(" ")[0]
            return NotAwaitableError(step=step.name, phase=phase, returned=returned)
    return error


def combined(
    strand: Strand, phase: Phase, error: BaseException, cleanups: Sequence[BaseException]
) -> tuple[BaseException, Failure | None]:
    """Make one exception of all that a visit raised: *error*, what goes with it, and its *cleanups*' failures.

    Returns:
        The exception, and where it arose; None for a group that the engine made, which knows it for each member.
    """
    members = [
        (error, None if error is strand.trouble.tree else mark_once(strand, error, phase)),
        *strand.trouble.owed,
        *((failure, _mark(strand, failure, "cleanup")) for failure in cleanups),
    ]
    strand.trouble.owed, strand.trouble.marked = (), None
    if len(members) == 1:
        return members[0]
    place = strand.trail.here()
    return in_step(strand, place, members), None


def in_step(
    strand: Strand, place: Place, members: Sequence[tuple[BaseException, Failure | None]]
) -> BaseException:
    """What a visit raises when *members* failed in it, and where each arose."""
    errors, marks = zip(*members, strict=True)
    message = f"step {place.step.name!r} failed"
    return _group(strand, message, place.path, None, errors, marks)


def mark_once(strand: Strand, error: BaseException, phase: Phase) -> Failure:
    """Note where *error* arises, unless that was noted before what it opened was closed."""
    if strand.trouble.marked is None or strand.trouble.marked[0] is not error:
        strand.trouble.marked = error, _mark(strand, error, phase)
    return strand.trouble.marked[1]


def owe(strand: Strand, errors: Sequence[BaseException], phase: Phase) -> None:
    """Keep *errors* for the exception that is about to be raised by this visit."""
    marked = [
        (error, None if error is strand.trouble.tree else _mark(strand, error, phase))
        for error in errors
    ]
    strand.trouble.owed = (*strand.trouble.owed, *marked)


def in_flow(
    strand: Strand,
    name: str,
    path: str,
    state: object,
    error: BaseException,
    mark: Failure | None,
) -> BaseException:
    """What a flow raises when *error* was caught by none of its edges."""
    if _passes(error):
        return error
    return _group(strand, _failed(name), path, state, [error], [mark])


def flow_failed(
    strand: Strand, name: str, path: str, state: object, errors: Sequence[BaseException]
) -> BaseException:
    """What a run raises when *errors* concern the whole of it."""
    marks = [
        None if error is strand.trouble.tree else _mark(strand, error, "flow")
        for error in errors
    ]
    return _group(strand, _failed(name), path, state, errors, marks)


def tell_suppressed(error: BaseException, suppressed: tuple[Exception, ...]) -> None:
    """Let the failure of a run tell what was swallowed in it."""
    if isinstance(error, FlowFailedError | FlowAbortedError):
        error.suppressed = suppressed


def _failed(name: str) -> str:
    return f"flow {name!r} failed" if name else "the step failed"


def note(error: BaseException, text: str) -> None:
    """Add a note to *error*, if it takes one."""
    with contextlib.suppress(AttributeError):  # a frozen exception takes none
        error.add_note(text)


def pass_notes(told: BaseException | None, error: BaseException) -> None:
    """What a retry or hedge noted on the group that it was *told* is said of *error*, which is raised."""
    if told is not None and told is not error:
        for text in getattr(told, "__notes__", ()):
            note(error, text)


def _mark(strand: Strand, error: BaseException, phase: Phase) -> Failure:
    mark = strand.failure(phase)
    conceal(error, strand.run.veil)
    if not _passes(error):
        note(error, f"in {mark}")
    return mark


def _group(
    strand: Strand,
    message: str,
    path: str,
    state: object,
    errors: Sequence[BaseException],
    marks: Sequence[Failure | None],
) -> BaseException:
    plain = [error for error in errors if isinstance(error, Exception)]
    group: FlowFailedError[Any] | FlowAbortedError[Any]
    group = (
        FlowFailedError(message, plain)
        if len(plain) == len(errors)
        else FlowAbortedError(message, errors)
    )
    group.path, group.state, group.marks = path, state, tuple(marks)
    group.redact = strand.run.veil
    strand.trouble.tree = group
    return group
