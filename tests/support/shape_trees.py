"""Random trees of shapes: data, strategies, and the steps they stand for; `shape_model` says what becomes of them.

Every wait has a length of its own, so that no two things happen at one moment by chance and the model need not know the
scheduler. All are multiples of 2**-42 s, so that sums are exact.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias
from zlib import crc32

import attrs
import trio
from hypothesis import strategies as st
from outcome import Error

from agentflow_trio import (
    END,
    Count,
    Fallback,
    Flow,
    Fold,
    Next,
    Step,
    Wiring,
    added,
    batch,
    current_step,
    each,
    flow,
    fold,
    merged_by,
    parallel,
    race,
    step,
)

__all__ = [
    "AtOnce",
    "Caught",
    "Leaf",
    "Ledger",
    "Loop",
    "Many",
    "Row",
    "Tree",
    "Words",
    "made",
    "named",
    "row_of",
    "tiny",
    "trees",
]

Caught: TypeAlias = Literal["nothing", "values", "all"]
"""Which failures of a step the row it is in routes to a rescue: none, ValueErrors, or any."""

Source: TypeAlias = Literal["list", "generator", "stream"]
"""Where the items of each and batch come from."""


@attrs.define
class Words:
    """Who ended well, in declared order."""

    said: tuple[str, ...] = attrs.field(default=(), metadata=merged_by(added))


@attrs.frozen(kw_only=True)
class _Node:
    """What every step may have: a time limit in seconds, and an edge that catches."""

    limit: int | None = None
    caught: Caught = "nothing"


@attrs.frozen(kw_only=True)
class Leaf(_Node):
    """Sleeps, then says its path or fails; closes something for so many seconds, which may fail as well."""

    delay: int
    fails: bool
    closes: int | None = None
    close_fails: bool = False
    is_node: bool = False
    fallback: bool = False


@attrs.frozen(kw_only=True)
class Row(_Node):
    """A nested flow of steps, one after the other."""

    parts: tuple[Tree, ...]


@attrs.frozen(kw_only=True)
class Loop(_Node):
    """A nested flow that visits one step so many times."""

    part: Tree
    times: int


@attrs.frozen(kw_only=True)
class AtOnce(_Node):
    """A parallel step or a race; some of its branches are left out."""

    is_race: bool
    parts: tuple[Tree, ...]
    left_out: tuple[bool, ...]


@attrs.frozen(kw_only=True)
class Many(_Node):
    """Each or batch: how long an item (or a part) takes, and whether it fails.

    Attributes:
        items: delay and failure of each item; a part takes as long as its first item, and fails if any of its does.
        size: of parts; None for each.
        most: failures that are tolerated.
        source: where the items come from; a stream waits before each of them.
        breaks: the stream fails when this item is asked for.
        closes: what an item closes takes so long.
    """

    items: tuple[tuple[int, bool], ...]
    size: int | None
    concurrent: int
    most: int | None
    source: Source
    breaks: int | None
    closes: int | None

    @property
    def parts(self) -> tuple[tuple[int, bool], ...]:
        """The same for the parts."""
        size = self.size or 1
        chunks = [self.items[at : at + size] for at in range(0, len(self.items), size)]
        return tuple((chunk[0][0], any(fails for _, fails in chunk)) for chunk in chunks)


Tree: TypeAlias = Leaf | Row | Loop | AtOnce | Many


def tiny(text: str) -> float:
    """Less than 1 ms, and for every text another."""
    return crc32(text.encode()) * 2.0**-42


def named(name: str, parts: Sequence[Tree]) -> list[tuple[Tree, str]]:
    """The parts of a step of that *name*, with theirs."""
    return [(part, f"{name}{letter}") for part, letter in zip(parts, "abc", strict=False)]


# ---------------------------------------------------------------- strategies

_OFTEN_NOT: Final[st.SearchStrategy[int | None]] = st.sampled_from([None, None, None, 0, 1, 2])
_OPTIONS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "limit": st.sampled_from([None, None, None, 1, 3, 6]),
    "caught": st.sampled_from(["nothing", "nothing", "values", "all"]),
}

_leaves: Final = st.builds(
    Leaf,
    delay=st.integers(0, 7),
    fails=st.sampled_from([False, False, True]),
    closes=_OFTEN_NOT,
    close_fails=st.sampled_from([False, False, True]),
    is_node=st.booleans(),
    fallback=st.booleans(),
    **_OPTIONS,
)


_SOURCES: Final[st.SearchStrategy[Source]] = st.sampled_from(["list", "generator", "stream"])


@st.composite
def _many(draw: st.DrawFn) -> Many:
    items = draw(
        st.lists(
            st.tuples(st.integers(0, 4), st.sampled_from([False, False, False, True])),
            min_size=1,
            max_size=7,
        )
    )
    source = draw(_SOURCES)
    breaks = (
        draw(st.sampled_from([None, None, len(items) // 2])) if source == "stream" else None
    )
    options = {name: draw(option) for name, option in _OPTIONS.items()}
    return Many(
        items=tuple(items),
        size=draw(st.sampled_from([None, None, 1, 2, 3])),
        concurrent=draw(st.integers(1, 3)),
        most=draw(st.sampled_from([None, 0, 1, 3])),
        source=source,
        breaks=breaks,
        closes=draw(_OFTEN_NOT),
        **options,
    )


def _inner(trees: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    parts = st.lists(trees, min_size=1, max_size=3).map(tuple)
    skips = st.tuples(st.just(value=False), st.booleans(), st.booleans())
    return st.one_of(
        st.builds(Row, parts=parts, **_OPTIONS),
        st.builds(Loop, part=trees, times=st.integers(1, 3), **_OPTIONS),
        st.builds(AtOnce, is_race=st.booleans(), parts=parts, left_out=skips, **_OPTIONS),
        st.builds(AtOnce, is_race=st.booleans(), parts=parts, left_out=skips, **_OPTIONS),
    )


trees: Final[st.SearchStrategy[Tree]] = st.recursive(
    st.one_of(_leaves, _leaves, _many()), _inner, max_leaves=8
)


# ---------------------------------------------------------------- steps


@attrs.define
class Ledger:
    """What was closed, in order."""

    closed: list[str] = attrs.field(factory=list[str])


def made(tree: Tree, name: str, ledger: Ledger) -> Step[Words, []]:
    """The step of *tree*."""
    limit = None if tree.limit is None else tree.limit + tiny(f"{name} limit")
    match tree:
        case Leaf():
            return _leaf(tree, name, ledger, limit)
        case Row():
            return Step(row_of(named(name, tree.parts), name, ledger), timeout=limit)
        case Loop():
            return Step(_loop(tree, name, ledger), timeout=limit)
        case AtOnce():
            arms = [made(part, one, ledger) for part, one in named(name, tree.parts)]
            arms = [
                arm.when(lambda _: False) if out else arm
                for arm, out in zip(arms, tree.left_out, strict=False)
            ]
            return Step((race if tree.is_race else parallel)(*arms), name=name, timeout=limit)
        case Many():
            return _row_of_items(tree, name, ledger, limit)


def row_of(parts: Sequence[tuple[Tree, str]], name: str, ledger: Ledger) -> Flow[Words, []]:
    """A flow of steps in a row; what an edge catches goes by way of a rescue."""
    steps = [made(part, one, ledger) for part, one in parts]
    rescues = [_leaf(Leaf(delay=0, fails=False), f"{one}r", ledger, None) for _, one in parts]
    kinds: dict[Caught, type[Exception]] = {"values": ValueError, "all": Exception}

    @flow(name=name)
    def row() -> Wiring[Words]:
        made_: list[Any] = []
        for (part, _), one, after, rescue in zip(
            parts, steps, [*steps[1:], END], rescues, strict=True
        ):
            edge = one.then(after)
            if part.caught == "nothing":
                made_.append(edge)
            else:
                made_.append(edge.catch(kinds[part.caught], to=rescue))
                made_.append(rescue.then(after))
        return made_

    return row


def _loop(tree: Loop, name: str, ledger: Ledger) -> Flow[Words, []]:
    part = made(tree.part, f"{name}a", ledger)

    @step(name=f"{name}again")
    async def again(words: Words, *, more: Next, done: Next) -> Next:
        return more if current_step().visit < tree.times else done

    @flow(name=name)
    def loop() -> Wiring[Words]:
        return [part.then(again), again.to(more=part, done=END)]

    return loop


def _close(closes: int | None, ledger: Ledger, *, fails: bool) -> None:
    path = current_step().path

    async def close() -> None:
        await trio.sleep((closes or 0) + tiny(f"{path} close"))
        ledger.closed.append(path)
        if fails:
            raise OSError(path)

    if closes is not None:
        current_step().on_cleanup(close)


def _leaf(leaf: Leaf, name: str, ledger: Ledger, limit: float | None) -> Step[Words, []]:
    async def work() -> str:
        path = current_step().path
        _close(leaf.closes, ledger, fails=leaf.close_fails)
        await trio.sleep(leaf.delay + tiny(path))
        if leaf.fails:
            raise ValueError(path)
        return path

    if leaf.is_node:
        fallback = Fallback("fallback", on=(ValueError,)) if leaf.fallback else None
        return Step(_Says(work), name=name, timeout=limit, fallback=fallback)

    @step(name=name, timeout=limit)
    async def say(words: Words) -> None:
        words.said += (await work(),)

    return say


@attrs.frozen
class _Says:
    work: Callable[[], Any]

    async def prep(self, shared: Words, /) -> None:
        pass

    async def exec(self, prepared: None, /) -> str:
        said: str = await self.work()
        return said

    async def post(self, shared: Words, prepared: None, result: str, /) -> None:
        shared.said += (result,)


def _row_of_items(
    tree: Many, name: str, ledger: Ledger, limit: float | None
) -> Step[Words, []]:
    options: dict[str, Any] = {"concurrent": tree.concurrent}
    if tree.most is not None:
        options["tolerate"] = Count(tree.most)
    if tree.source != "list":
        into: Fold[Any, Any] = fold(list[Any], lambda total, one: [*total, one])
        options["into"] = into
    node: Any = _Handles(tree, ledger)
    if tree.size is not None:
        return Step(batch(node, size=tree.size, **options), name=name, timeout=limit)
    return Step(each(node, **options), name=name, timeout=limit)


@attrs.frozen
class _Handles:
    """The node of `Many`: an item is its number."""

    tree: Many
    ledger: Ledger

    async def prep(self, shared: Words, /) -> Any:
        path = current_step().path
        sources: dict[str, Callable[[str], Any]] = {
            "list": self._list,
            "generator": self._generator,
            "stream": self._stream,
        }
        return sources[self.tree.source](path)

    def _list(self, path: str) -> list[int]:
        return [*range(len(self.tree.items))]

    def _generator(self, path: str) -> Iterator[int]:
        try:
            yield from self._list(path)
        finally:
            self.ledger.closed.append(f"{path} source")

    async def _stream(self, path: str) -> AsyncIterator[int]:
        try:
            for number in self._list(path):
                await trio.sleep(tiny(f"{path} source {number}"))
                if number == self.tree.breaks:
                    raise OSError(f"{path} source")
                yield number
        finally:
            self.ledger.closed.append(f"{path} source")

    async def exec(self, item: Any, /) -> Any:
        number: int = item if self.tree.size is None else item[0]
        part = number // (self.tree.size or 1)
        delay, fails = self.tree.parts[part]
        path = current_step().path
        _close(self.tree.closes, self.ledger, fails=False)
        await trio.sleep(delay + tiny(path))
        if fails:
            raise ValueError(path)
        said = f"{path.rpartition('[')[0]} item "
        return f"{said}{number}" if self.tree.size is None else [f"{said}{one}" for one in item]

    async def post(self, shared: Words, items: Any, received: Any, /) -> None:
        for one in received:
            if not isinstance(one, Error):
                shared.said += (one if isinstance(one, str) else one.unwrap(),)
