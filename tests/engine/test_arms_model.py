"""Random trees of branches, races and rows end as a naive model says, whenever their leaves end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import attrs
import trio
from hypothesis import event, given
from hypothesis import strategies as st

from agentflow_trio import (
    END,
    Engine,
    Flow,
    FlowAbortedError,
    FlowFailedError,
    Step,
    Wiring,
    added,
    flow,
    merged_by,
    parallel,
    race,
    step,
)
from agentflow_trio.testing import Cut, assert_no_leaks, cancel_everywhere, explore, simulate

from .engine_kit import Recorder


@attrs.define
class Words:
    """Every leaf that ended well, in declared order."""

    said: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))


@attrs.frozen
class Leaf:
    """Sleeps for *delay*, then says its name or fails."""

    delay: int
    fails: bool


@attrs.frozen
class Shape:
    """Several at once, or one after the other."""

    kind: str
    parts: tuple[Tree, ...]


Tree: TypeAlias = Leaf | Shape

# Every leaf ends at a moment of its own, by a power of two, so that who is first is no matter of order.
leaves = st.builds(Leaf, delay=st.integers(0, 11), fails=st.booleans())
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        Shape,
        kind=st.sampled_from(["parallel", "race", "row"]),
        parts=st.lists(inner, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=7,
)


@attrs.frozen
class Told:
    """What the model says: when it is over, what was said, and which leaves failed, if that is how it ends."""

    end: float
    said: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def seconds(leaf: Leaf, path: str) -> float:
    """The time of a leaf: the delay, and a little that no other leaf has."""
    return leaf.delay + 2.0 ** -(6 + NUMBERS.setdefault(path, len(NUMBERS)))


NUMBERS: dict[str, int] = {}


def model(tree: Tree, name: str, begin: float = 0.0) -> Told:
    """What becomes of *tree* if nobody ends it early."""
    if isinstance(tree, Leaf):
        end = begin + seconds(tree, name)
        return Told(end, failed=(name,)) if tree.fails else Told(end, said=(name,))
    named = [(part, f"{name}{letter}") for part, letter in zip(tree.parts, "abc", strict=False)]
    if tree.kind == "row":
        return in_a_row(named, begin)
    told = [model(part, one, begin) for part, one in named]
    return first_of(told) if tree.kind == "race" else all_of(told)


def in_a_row(named: Sequence[tuple[Tree, str]], begin: float) -> Told:
    said = list[str]()
    for part, name in named:
        told = model(part, name, begin)
        if told.failed:
            return told
        begin = told.end
        said += told.said
    return Told(begin, said=tuple(said))


def first_of(told: Sequence[Told]) -> Told:
    well = [one for one in told if not one.failed]
    if well:
        return min(well, key=lambda one: one.end)
    return Told(max(one.end for one in told), failed=together(one.failed for one in told))


def all_of(told: Sequence[Told]) -> Told:
    ill = [one for one in told if one.failed]
    if ill:
        return min(ill, key=lambda one: one.end)
    return Told(max(one.end for one in told), said=together(one.said for one in told))


def together(words: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(word for one in words for word in one)


def made(tree: Tree, name: str) -> Step[Words, []]:
    """The step of *tree*."""
    if isinstance(tree, Leaf):
        return leaf_step(tree, name)
    parts = [
        made(part, f"{name}{letter}") for part, letter in zip(tree.parts, "abc", strict=False)
    ]
    if tree.kind == "row":
        return Step(row_of(parts, name))
    return Step((race if tree.kind == "race" else parallel)(*parts), name=name)


def leaf_step(leaf: Leaf, name: str) -> Step[Words, []]:
    @step(name=name)
    async def say(words: Words) -> None:
        await trio.sleep(seconds(leaf, name))
        if leaf.fails:
            raise ValueError(name)
        words.said += (name,)

    return say


def row_of(parts: Sequence[Step[Words, []]], name: str) -> Flow[Words, []]:
    @flow(name=name)
    def row() -> Wiring[Words]:
        return [one.then(after) for one, after in zip(parts, [*parts[1:], END], strict=True)]

    return row


async def outcome_of(tree: Tree, recorder: Recorder | None = None) -> Told:
    """What the engine makes of it."""
    begin = trio.current_time()
    observers = [recorder] if recorder else []
    with assert_no_leaks():
        async with Engine(observers=observers) as engine:
            try:
                result = await engine.run(row_of([made(tree, "t")], "f"), Words())
            except FlowFailedError as error:
                names = tuple(str(leaf) for leaf in error.leaves())
                return Told(trio.current_time() - begin, failed=names)
    assert result.steps == sum(result.visits.values())
    return Told(trio.current_time() - begin, said=result.state.said)


@given(tree=trees)
def test_a_tree_ends_as_the_model_says(tree: Tree) -> None:
    NUMBERS.clear()
    expected = model(tree, "t")
    event("fails" if expected.failed else "ends well")
    for recorder in (None, Recorder()):

        async def program(seen: Recorder | None = recorder) -> Told:
            return await outcome_of(tree, seen)

        with simulate(program) as sim:
            sim.run()
            assert sim.result == expected
        if recorder is not None:
            begun = [one.path for one in recorder.events if one.event_type == "node_start"]
            ended = [
                one.path
                for one in recorder.events
                if one.event_type in {"node_success", "node_error", "node_cancelled"}
            ]
            assert sorted(begun) == sorted(ended)


@given(tree=trees)
def test_what_comes_of_it_does_not_depend_on_the_order_of_tasks(tree: Tree) -> None:
    NUMBERS.clear()
    expected = model(tree, "t")

    async def program() -> Told:
        return await outcome_of(tree)

    def check(told: Told) -> None:
        assert (told.said, told.failed) == (expected.said, expected.failed)

    explore(program, check=check, seeds=5).raise_on_failure()


@given(tree=trees, at=st.integers(0, 30))
def test_cancelled_at_any_step_it_leaves_nothing(tree: Tree, at: int) -> None:
    NUMBERS.clear()
    expected = model(tree, "t")

    async def program() -> Told | None:
        try:
            return await outcome_of(tree)
        except FlowAbortedError:  # something failed at the very moment
            await trio.lowlevel.checkpoint_if_cancelled()
            return None

    def check(cut: Cut[Told | None]) -> None:
        if not cut.reached:
            assert cut.result == expected

    cancel_everywhere(program, check=check, replay=f"o0x{at}:")
