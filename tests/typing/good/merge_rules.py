"""A rule fits the type of the field it merges; fork and merge keep the type of the state."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

import pytest
from attrs import define, field

from agentflow_trio import MergeConflictError, added, fork, latest, merge, merged_by, summed


def wider(base: frozenset[str], theirs: frozenset[str], mine: frozenset[str]) -> frozenset[str]:
    return base | theirs | mine


@define
class Article:
    topic: str = ""
    words: int = field(default=0, metadata=merged_by(summed))
    price: Decimal = field(default=Decimal(0), metadata=merged_by(summed))
    notes: tuple[str, ...] = field(default=(), metadata=merged_by(added))
    lines: list[str] = field(factory=list[str], metadata=merged_by(added))
    editor: str = field(default="", metadata=merged_by(latest))
    tags: frozenset[str] = field(default=frozenset(), metadata=merged_by(wider))


async def main() -> None:
    base = Article(notes=("a",))
    one, two = fork(base), fork(base)
    assert_type(one, Article)
    one.words, two.words = 2, 3
    one.notes += ("b",)
    two.notes += ("c",)
    one.editor, two.editor = "one", "two"
    one.tags, two.tags = frozenset({"x"}), frozenset({"y"})
    merged = merge(base, [("one", one), ("two", two)])
    assert_type(merged, Article)
    assert (merged.words, merged.notes, merged.editor) == (5, ("a", "b", "c"), "two")
    assert merged.tags == frozenset({"x", "y"})
    one.topic, two.topic = "one", "two"
    with pytest.raises(MergeConflictError) as caught:
        merge(base, [("one", one), ("two", two)])
    error = caught.value
    assert_type(error.branches, tuple[str, ...])
    assert (error.field, error.branches) == ("Article.topic", ("one", "two"))
    assert_type(added("a", "ab", "ac"), str)
    assert_type(summed(1, 2, 3), int)
    assert_type(latest("a", "b", "c"), str)
