"""load gives back the class that was named; every mismatch is a record."""

from __future__ import annotations

from typing import assert_type

import pytest
from attrs import define

from agentflow_trio import CodecError, Mismatch
from agentflow_trio.codec import dump, from_data, load, to_data


@define
class Article:
    topic: str
    notes: tuple[str, ...] = ()


async def main() -> None:
    article = Article("trio", ("a",))
    text = dump(article)
    assert_type(text, str)
    again = load(Article, text)
    assert_type(again, Article)
    assert again == article
    assert_type(load(tuple[int, ...], dump((1, 2))), tuple[int, ...])
    assert from_data(Article, to_data(article)) == article
    with pytest.raises(CodecError) as refused:
        from_data(Article, {"topic": 3})
    assert_type(refused.value.mismatches, tuple[Mismatch, ...])
    assert [mismatch.path for mismatch in refused.value.mismatches] == ["$.topic"]
