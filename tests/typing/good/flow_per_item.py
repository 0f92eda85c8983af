"""A flow for every item: items of one state, joined into another; some, all, or a total of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import assert_type

from attrs import define
from outcome import Maybe, Value

from agentflow_trio import END, Count, Node, Step, Wiring, each, flow, fold, step


@define
class Chapter:
    title: str
    text: str = ""


@define
class Book:
    titles: tuple[str, ...]
    chapters: tuple[Chapter, ...] = ()
    words: int = 0


@step
async def outline(chapter: Chapter) -> None:
    chapter.text = chapter.title.lower()


@step
async def write(chapter: Chapter) -> None:
    if not chapter.title:
        raise ValueError("no title")
    chapter.text *= 2


@flow
def chapter() -> Wiring[Chapter]:
    return [outline.then(write), write.then(END)]


def split(book: Book) -> list[Chapter]:
    return [Chapter(title) for title in book.titles]


async def split_slowly(book: Book) -> AsyncIterator[Chapter]:
    for title in book.titles:
        yield Chapter(title)


def join(book: Book, chapters: Sequence[Chapter]) -> None:
    book.chapters = tuple(chapters)


def join_some(book: Book, chapters: Sequence[Maybe[Chapter]]) -> None:
    book.chapters = tuple(one.value for one in chapters if isinstance(one, Value))


def add(words: int, chapter: Chapter) -> int:
    return words + len(chapter.text)


def put(book: Book, words: int) -> None:
    book.words = words


all_of_them = each(chapter.over(split, join), concurrent=8)
assert_type(all_of_them, Node[Book, object, Sequence[Chapter], []])
some = each(chapter.over(split, join_some), concurrent=8, tolerate=Count(1))
total = each(chapter.over(split_slowly, put), concurrent=8, into=fold(int, add))
of_list = each(chapter.over(split, put), concurrent=8, into=fold(int, add))
chapters = Step(some, name="chapters")
words = Step(total, name="words", timeout=60.0)
assert_type(words, Step[Book, []])


@flow
def digest() -> Wiring[Book]:
    return [chapters.then(words), words.then(END)]


async def main() -> None:
    result = await Step(some).run(Book(("One", "")))
    assert result.state.chapters == (Chapter("One", "oneone"),)
    done = await digest.run(Book(("One", "Three")))
    assert done.state.words == 16
    assert (await Step(all_of_them).run(Book(("A",)))).state.chapters[0].text == "aa"
    assert (await Step(of_list).run(Book(("A",)))).state.words == 2
