"""A snapshot as text: a line for everything that goes on, things that are alike in one.

Layer: engine. Sans-IO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import assert_never

from ._snapshot import Blocked, Live, RunSnapshot, Snapshot, TaskSnapshot, VisitSnapshot

__all__ = ["draw", "draw_run", "groups", "said_of"]


def draw(snapshot: Snapshot, most: int) -> Iterator[str]:
    """The lines of *snapshot*."""
    if not snapshot.runs:
        yield "no runs"
    for run in snapshot.runs:
        yield from draw_run(run, most)
    for blocked in snapshot.blocked:
        yield f"blocked the loop: {_blocked(blocked)}"
    for thread in snapshot.abandoned:
        yield f"abandoned, still at work: {thread}"


def draw_run(run: RunSnapshot, most: int) -> Iterator[str]:
    """The lines of one run."""
    yield _line(run, "")
    yield from _below(run.inside, run.flow, "", most)


def _below(inside: Sequence[Live], above: str, margin: str, most: int) -> Iterator[str]:
    shown = [*groups(inside, most)]
    for number, (one, others) in enumerate(shown):
        last = number == len(shown) - 1
        path = _root(one, above)
        yield f"{margin}{'└─ ' if last else '├─ '}{_line(one, above)}"
        yield from _below(
            one.inside, path, f"{margin}{'   ' if last and not others else '│  '}", most
        )
        if others:
            yield f"{margin}{'   ' if last else '│  '}{_more(others)}"


def _root(one: Live, above: str) -> str:
    """What paths inside of *one* begin with."""
    match one:
        case VisitSnapshot():
            return one.path
        case RunSnapshot():
            return one.flow
        case TaskSnapshot():
            return above
        case _:
            assert_never(one)


def groups(inside: Sequence[Live], most: int) -> Iterator[tuple[Live, Sequence[Live]]]:
    """At most *most* of *inside*, each with those that are not drawn because they are like it.

    If there are still too many kinds of them, the last one stands for all the rest.
    """
    if len(inside) <= most:
        yield from ((one, ()) for one in inside)
        return
    alike = dict[object, list[Live]]()
    for one in inside:
        alike.setdefault(_kind(one), []).append(one)
    kinds = [*alike.values()]
    kinds[most - 1 :] = [[one for kind in kinds[most - 1 :] for one in kind]] * bool(
        kinds[most - 1 :]
    )
    yield from ((first, others) for first, *others in kinds)


def _kind(one: Live) -> object:
    """What those have in common that are alike: all but names and numbers."""
    words = re.sub(r"\d[\d.]*", "", one.waits_for)
    if isinstance(one, RunSnapshot):
        return one.flow, one.state, words
    phase = one.phase if isinstance(one, VisitSnapshot) else ""
    return type(one), phase, words, one.at


def _more(others: Sequence[Live]) -> str:
    ages = [one.age for one in others if not isinstance(one, TaskSnapshot)]
    span = f", {_seconds(min(ages))} to {_seconds(max(ages))}" if ages else ""
    return f"… and {len(others)} more{span}"


def _line(one: Live, above: str) -> str:
    match one:
        case RunSnapshot():
            steps = f"{one.steps} step{'s' * (one.steps != 1)}"
            head = f"{one.flow}  run {one.run_id}, {one.state}, {_seconds(one.age)}, {steps}"
            waits = f", waits for {one.waits_for}" if one.waits_for else ""
            return f"{head}{waits}" + (f" ({one.reason})" if one.reason else "")
        case VisitSnapshot():
            return f"{_name(one.path, above)}  {said_of(one)}"
        case TaskSnapshot():
            return f"task {one.name}  {said_of(one)}"
        case _:
            assert_never(one)


def said_of(one: VisitSnapshot | TaskSnapshot) -> str:
    """Phase, attempt, what is waited for, and where, in one line."""
    words = list[str]()
    if isinstance(one, VisitSnapshot):
        again = f" attempt {one.attempt}" if one.attempt > 1 else ""
        words.append(f"{one.phase}{again} {_seconds(one.age)}, ")
    words.append(f"waits for {one.waits_for}" if one.waits_for else "running")
    if one.at is not None:
        file, _, rest = one.at.rpartition(":")
        line, _, function = rest.partition(" ")
        words.append(f" at {PurePath(file).name}:{line} {function}")
    return "".join(words)


def _name(path: str, above: str) -> str:
    """*path* as it stands below *above*: the rest of it."""
    for mark in ("/", "["):
        if path.startswith(above + mark):
            return path[len(above) :].removeprefix("/")
    return path


def _seconds(age: float) -> str:
    return f"{age:.1f} s" if age >= 1.0 or not age else f"{age * 1000:.0f} ms"


def _blocked(blocked: Blocked) -> str:
    who = blocked.path or f"task {blocked.task}"
    times = f"{blocked.times} time{'s' * (blocked.times != 1)}"
    longest = f"at most {_seconds(blocked.longest)}"
    return f"{who} {times}, {longest}, at {blocked.place}"
