"""docs/examples/digest.py on real folders: what it promises is measured in the page it writes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import attrs
import pytest

import digest as example
from agentflow_trio import FlowFailedError, RunResult
from digest import Digest
from prose import Criterion

pytestmark = pytest.mark.slow

DOCS: Final = Path(__file__).parents[2] / "docs"
NAMES: Final = ("bean", "chard", "fennel", "garlic", "kale", "leek", "onion", "pea", "thyme")


# ---------------------------------------------------------------- a page, read back


@attrs.frozen
class Section:
    """A document in the page. link: as a file's path. note: the line below its sentences."""

    title: str
    link: str
    sentences: list[str]
    note: str


@attrs.frozen
class Page:
    """What a digest says."""

    title: str
    key_terms: list[str]
    criteria: dict[str, str]
    revisions: list[str]
    sections: list[Section]
    left_out: dict[str, str]

    @property
    def sentences(self) -> list[str]:
        return [sentence for section in self.sections for sentence in section.sentences]


def bullets(text: str) -> list[str]:
    return re.findall(r"^- (.*)$", text, re.MULTILINE)


def read_page(path: Path) -> Page:
    head, *parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections, left_out = list[Section](), dict[str, str]()
    for part in parts:
        heading, _, body = part.partition("\n")
        linked = re.fullmatch(r"\[(.*)\]\((\S*)\)", heading)
        if linked is None:
            assert heading == "Left out"
            left_out = dict(line.rsplit(": ", 1) for line in bullets(body))
        else:
            note = re.findall(r"^\*(.*)\*$", body, re.MULTILINE)[-1]
            title, link = linked.groups()
            sections.append(Section(title, unquote(link), bullets(body), note))
    rows = re.findall(r"^\| (\w+) \| .* \| (.*) \|$", head, re.MULTILINE)
    about = re.findall(r"^What it is about: (.*)\.$", head, re.MULTILINE)[0]
    return Page(
        title=head.partition("\n")[0],
        key_terms=about.split(", "),
        criteria={name: measured for name, measured in rows if name != "criterion"},
        revisions=bullets(head),
        sections=sections,
        left_out=left_out,
    )


def content(sentence: str) -> set[str]:
    """Its longer words, the end cut off: another measure than the example's own."""
    return {word.lower()[:6] for word in re.findall(r"[A-Za-z_]{5,}", sentence)}


def letters(text: str) -> str:
    """*text* without anything that Markdown could have changed."""
    markup = r"\]\([^)]*\)|\]\[[^]]*\]|\{[\w:-]+\}|\[\^\w+\]| <[^>`]*>(?=`)"
    return re.sub(r"\W|_", "", re.sub(markup, "", text)).lower()


def assert_every_criterion_is_met(page: Page, folder: Path, *, words: int) -> None:
    lengths = [len(sentence.split()) for sentence in page.sentences]
    assert sum(lengths) <= words
    assert page.criteria["length"] == f"{sum(lengths):,} words"
    texts = [
        path
        for path in folder.rglob("*.md")
        if not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
    ]
    used = {section.note.split(",")[0] for section in page.sections}
    assert used | page.left_out.keys() == {
        path.relative_to(folder).as_posix() for path in texts
    }
    assert all(section.sentences for section in page.sections)
    assert page.criteria["completeness"] == f"{len(used)} of {len(used)}"
    assert max(lengths) <= 40
    assert page.criteria["sentences"] == f"{max(lengths)} in the longest"
    for one, other in combinations(page.sentences, 2):
        assert one != other
        common = len(content(one) & content(other))
        assert common <= 3 or common < 0.7 * len(content(one) | content(other)), (one, other)
    said = " ".join(page.sentences).lower()
    heard = [term for term in page.key_terms if re.search(rf"\b{term.removesuffix('y')}", said)]
    assert len(heard) >= 0.8 * len(page.key_terms) == 16


async def run(state: Digest) -> RunResult[Digest]:
    return await example.digest.run(state)


def fill(folder: Path, texts: Mapping[str, str | bytes]) -> Path:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


# ---------------------------------------------------------------- the project's own pages


async def test_the_digest_of_our_own_docs_meets_every_criterion(tmp_path: Path) -> None:
    result = await run(Digest(out=str(tmp_path / "digest.md")))
    assert result.exit == "published"
    assert result.state.published == str(tmp_path / "digest.md")
    page = read_page(tmp_path / "digest.md")
    assert page.title == "# Digest of docs"
    assert_every_criterion_is_met(page, DOCS, words=50 * len(page.sections))
    assert page.revisions == list(result.state.revisions)


async def test_every_sentence_of_our_own_docs_is_quoted_and_every_link_leads_there(
    tmp_path: Path,
) -> None:
    await run(Digest(out=str(tmp_path / "digest.md")))
    for section in read_page(tmp_path / "digest.md").sections:
        source = (tmp_path / section.link).resolve()
        assert source == DOCS / section.note.split(",")[0]
        text = letters(source.read_text(encoding="utf-8"))
        for sentence in section.sentences:
            assert letters(sentence) in text


async def test_the_same_files_give_the_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    pages = list[bytes]()
    for place in ("here", "some/where/else"):
        home = tmp_path / place
        ignored = shutil.ignore_patterns("_*", "*.py")
        shutil.copytree(DOCS, home / "docs", ignore=ignored)
        await run(Digest(folder=str(home / "docs"), out=str(home / "digest.md")))
        pages.append((home / "digest.md").read_bytes())
    assert pages[0] == pages[1]
    assert b"](docs/" in pages[0]
    assert str(tmp_path).encode() not in pages[0]


# ---------------------------------------------------------------- the loop back


def sentence(name: str, number: int, words: int = 10, *more: str) -> str:
    """Return words that no other sentence has, ``garden`` and *more* among them."""
    own = (
        f"{name}{chr(97 + number)}{chr(97 + at // 26)}{chr(97 + at % 26)}"
        for at in range(words - len(more) - 1)
    )
    return " ".join([*own, *more, "garden"]).capitalize() + "."


def document(name: str, sentences: int = 6) -> str:
    return "\n".join(sentence(name, number) for number in range(sentences))


async def digested(
    folder: Path, words: int = 0
) -> tuple[RunResult[Digest], Mapping[str, int], Page | None]:
    """Run on *folder*; return the result, the visits of the editing steps, and the page if there is one."""
    out = folder.with_name("digest.md")
    result = await run(Digest(folder=str(folder), out=str(out), words=words))
    inner = "digest/editing/"
    editing = {
        path.removeprefix(inner): visits
        for path, visits in result.visits.items()
        if path.startswith(inner)
    }
    return result, editing, read_page(out) if out.exists() else None


async def test_a_first_draft_that_passes_is_published_as_it_is(tmp_path: Path) -> None:
    folder = fill(tmp_path / "beds", {"bean.md": document("bean"), "leek.md": document("leek")})
    result, visits, page = await digested(folder)
    assert result.exit == "published"
    assert visits == {"draft": 1, "review": 1}
    assert page is not None
    assert page.sentences == [sentence("bean", 0), sentence("leek", 0)]
    assert page.revisions == []


async def test_too_many_words_lead_to_fewer_sentences(tmp_path: Path) -> None:
    names = ("bean", "kale", "leek")
    folder = fill(tmp_path / "beds", {f"{name}.md": document(name, 25) for name in names})
    result, visits, page = await digested(folder, words=40)
    assert result.exit == "published"
    assert visits == {"draft": 2, "review": 2, "revise": 1}
    assert page is not None
    assert page.revisions == [
        "length: 60 words, asked for at most 40 words; long documents got fewer sentences"
    ]
    assert page.criteria["length"] == "30 words"
    assert [len(section.sentences) for section in page.sections] == [1, 1, 1]


async def test_where_one_sentence_is_too_many_words_a_shorter_one_takes_its_place(
    tmp_path: Path,
) -> None:
    names = ("bean", "kale", "leek")
    texts = {f"{name}.md": f"{document(name)}\n{sentence(name, 9, 7)}" for name in names}
    result, visits, page = await digested(fill(tmp_path / "beds", texts), words=25)
    assert result.exit == "published"
    assert visits == {"draft": 2, "review": 2, "revise": 1}
    assert page is not None
    assert page.sentences == [sentence(name, 9, 7) for name in names]
    assert page.revisions == [
        "length: 30 words, asked for at most 25 words; sentences of more than 8 words gave way"
    ]


async def test_a_long_sentence_gives_way_to_another(tmp_path: Path) -> None:
    long = sentence("bean", 9, 50, *["garden"] * 48)
    texts = {"bean.md": f"{long}\n{document('bean')}", "leek.md": document("leek")}
    result, visits, page = await digested(fill(tmp_path / "beds", texts))
    assert result.exit == "published"
    assert visits == {"draft": 2, "review": 2, "revise": 1}
    assert page is not None
    assert long not in page.sentences
    assert page.revisions == [
        "sentences: 50 in the longest, asked for at most 40 words each; longer ones gave way"
    ]


async def test_where_all_are_long_the_beginning_of_the_shortest_is_quoted(
    tmp_path: Path,
) -> None:
    long, longer = (
        f"Garden soil {sentence('bean', 1, 45)}",
        f"Garden soil {sentence('bean', 2, 50)}",
    )
    folder = fill(tmp_path / "beds", {"bean.md": f"{longer} {long}"})
    result, visits, page = await digested(folder)
    assert result.exit == "published"
    assert visits == {"draft": 2, "review": 2, "revise": 1}
    assert page is not None
    assert page.sentences == [" ".join([*long.split()[:39], "\N{HORIZONTAL ELLIPSIS}"])]


OVERLAPPING: Final = (
    "asked for under 60% of terms in common; what another document says gave way"
)
TOPICS: Final = ("soil", "water", "seed", "worm")


async def test_what_two_documents_say_is_said_once(tmp_path: Path) -> None:
    same, nearly = (
        sentence("same", 1, 11, *TOPICS, "dark"),
        sentence("same", 1, 11, *TOPICS, "cold"),
    )
    texts = {
        f"{name}.md": "\n".join([
            first,
            *(sentence(name, at, 9, *TOPICS[at : at + 2]) for at in range(4)),
        ])
        for name, first in (("bean", same), ("leek", nearly))
    }
    result, visits, page = await digested(fill(tmp_path / "beds", texts))
    assert result.exit == "published"
    assert visits == {"draft": 2, "review": 2, "revise": 1}
    assert page is not None
    assert page.sentences[0] == same
    assert nearly not in page.sentences
    assert page.revisions == [f"repetition: 91%, {OVERLAPPING}"]


async def test_a_document_that_says_nothing_new_is_left_out(tmp_path: Path) -> None:
    part = sentence("part", 1, 30)
    texts = {"bean.md": f"{part}\n{document('bean', 3)}", "part.md": part}
    result, visits, page = await digested(fill(tmp_path / "beds", texts))
    assert result.exit == "published"
    assert visits == {"draft": 3, "review": 3, "revise": 2}
    assert page is not None
    assert [section.link for section in page.sections] == ["beds/bean.md"]
    assert page.left_out == {"part.md": "says nothing that others do not say"}
    assert page.revisions == [
        f"repetition: 100%, {OVERLAPPING}",
        "completeness: 1 of 2, asked for every document; left out: part.md",
    ]


async def test_key_terms_that_are_not_mentioned_bring_sentences_that_do(tmp_path: Path) -> None:
    texts = {
        f"{name}.md": f"{document(name)}\n{sentence(name, 9, 10, *TOPICS)}"
        for name in ("bean", "leek")
    }
    result, visits, page = await digested(fill(tmp_path / "beds", texts))
    assert result.exit == "published"
    assert visits == {"draft": 2, "review": 2, "revise": 1}
    assert page is not None
    assert page.key_terms == ["garden", "seed", "soil", "water"]
    assert page.criteria["coverage"] == "4 of 4"
    assert page.sentences == [sentence("bean", 9, 10, *TOPICS), sentence("leek", 0)]
    assert page.revisions == [
        "coverage: 1 of 4, asked for 80% of key terms; sentences with seed, soil, water came first"
    ]


async def test_what_never_passes_is_not_published_and_the_last_digest_stays(
    tmp_path: Path,
) -> None:
    folder = fill(tmp_path / "beds", {"bean.md": document("bean")})
    fill(tmp_path, {"digest.md": "the last one"})
    result = await run(Digest(folder=str(folder), out=str(tmp_path / "digest.md"), words=4))
    assert result.exit == "abandoned"
    assert result.visits["digest/editing/revise"] == 8
    assert result.state.criteria[0] == Criterion(
        "length", "at most 4 words", "10 words", ("6 words too many",)
    )
    assert result.state.published == ""
    assert (tmp_path / "digest.md").read_text(encoding="utf-8") == "the last one"


async def test_too_few_words_are_no_reason_to_leave_a_document_out(tmp_path: Path) -> None:
    texts = {f"{name}.md": f"{document(name)}\nOften so.\n" for name in ("bean", "leek")}
    result, _, page = await digested(fill(tmp_path / "beds", texts), words=6)
    assert result.exit == "abandoned"
    assert page is None
    assert result.state.left_out == {}
    assert list(result.state.draft) == ["bean.md", "leek.md"]


async def test_the_review_of_a_draft_may_be_run_alone() -> None:
    long, short = sentence("bean", 1, 41), sentence("bean", 2, 5)
    state = Digest(
        words=50,
        key_terms=("garden", "soil"),
        draft={"bean.md": (long, short), "kale.md": (short,), "leek.md": ()},
    )
    result = await example.review.run(state)
    assert result.exit == "failed"
    assert result.state.criteria == (
        Criterion("length", "at most 50 words", "51 words", ("1 words too many",)),
        Criterion("completeness", "every document", "2 of 3", ("leek.md",)),
        Criterion("sentences", "at most 40 words each", "41 in the longest", (long,)),
        Criterion("repetition", "under 60% of terms in common", "100%", (short,)),
        Criterion("coverage", "80% of key terms", "1 of 2", ("soil",)),
    )


# ---------------------------------------------------------------- what is left out


async def test_what_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "beds",
        {
            "bean.md": "\ufeff# Beans\n\n" + document("bean"),
            "binary.md": b"\xff\xfe\x00",
            "copy.md": "# A copy\n\n" + document("bean"),
            "deep/down/leek.txt": document("leek"),
            "empty.md": "",
            "photo.jpg": b"\xff",
            "short.markdown": "# Short\n\nNothing has grown here yet.\n",
            "_build/old.md": document("old"),
            ".cache/old.md": document("old"),
        },
    )
    (folder / "loop.md").symlink_to("loop.md")
    os.mkfifo(folder / "pipe.md")
    _, _, page = await digested(folder)
    assert page is not None
    assert [section.title for section in page.sections] == ["Beans", "leek"]
    assert page.left_out == {
        "binary.md": "not UTF-8",
        "copy.md": "says the same as bean.md",
        "empty.md": "0 words in sentences",
        "loop.md": "Too many levels of symbolic links",
        "pipe.md": "no file",
        "short.markdown": "5 words in sentences",
    }


def deepen(folder: Path, name: str) -> None:
    """Make folders in folders, from within, until their path is too long for anybody."""
    with contextlib.chdir(folder):
        for _ in range(os.pathconf(folder, "PC_PATH_MAX") // len(name) + 1):
            Path(name).mkdir()
            os.chdir(name)


async def test_one_bad_file_of_many_costs_the_others_nothing(tmp_path: Path) -> None:
    texts: dict[str, str | bytes] = {f"{name}.md": document(name) for name in NAMES}
    bad = [f"{number}.md" for number in range(len(NAMES))]
    folder = fill(tmp_path / "beds", {**texts, **dict.fromkeys(bad, b"\xff")})
    result, _, page = await digested(folder)
    assert page is not None
    assert [section.title for section in page.sections] == list(NAMES)
    assert page.left_out == dict.fromkeys(bad, "not UTF-8")
    assert result.visits["digest/read"] == 1
    assert [type(error) for error in result.suppressed] == [UnicodeDecodeError] * len(bad)


def test_a_mistake_of_the_program_itself_is_named_too() -> None:
    assert example.reason(RecursionError("too deep")) == "RecursionError: too deep"


async def test_a_folder_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    folder = fill(tmp_path / "beds", {"bean.md": document("bean")})
    deepen(folder, "deep" * 50)
    _, _, page = await digested(folder)
    assert page is not None
    ((path, reason),) = page.left_out.items()
    assert set(path.split("/")) == {"deep" * 50}
    assert reason == "File name too long"


async def test_the_digest_itself_is_not_read(tmp_path: Path) -> None:
    folder = fill(tmp_path / "beds", {"bean.md": document("bean"), "leek.md": document("leek")})
    out = folder / "digest.md"
    await run(Digest(folder=str(folder), out=str(out)))
    first = out.read_bytes()
    await run(Digest(folder=str(folder), out=str(out)))
    assert out.read_bytes() == first


async def test_names_that_are_no_text_are_shown_and_linked_all_the_same(tmp_path: Path) -> None:
    folder = fill(tmp_path / "beds", {"bean.md": document("bean")})
    (folder / "bean.md").rename(os.fsdecode(os.fsencode(folder) + b"/two\nlines (\xff).md"))
    _, _, page = await digested(folder)
    assert page is not None
    (section,) = page.sections
    assert section.title == "two lines (\\xff)"
    assert section.note.startswith("two lines (\\xff).md, ")
    text = folder.with_name("digest.md").read_text(encoding="utf-8")
    assert "](beds/two%0Alines%20%28%FF%29.md)" in text


@pytest.mark.parametrize(
    ("texts", "reasons"),
    [
        ({}, ""),
        ({"photo.jpg": b""}, ""),
        ({"a.md": "", "b.md": b"\xff"}, "\na.md: 0 words in sentences\nb.md: not UTF-8"),
    ],
)
async def test_a_folder_without_text_is_an_error_that_says_why(
    texts: Mapping[str, str | bytes], reasons: str, tmp_path: Path
) -> None:
    folder = fill(tmp_path, texts)
    with pytest.raises(FlowFailedError) as caught:
        await run(Digest(folder=str(folder), out=str(tmp_path / "digest.md")))
    error = caught.value.only()
    assert type(error) is example.NothingToReadError
    assert str(error) == f"no Markdown or text to condense in {folder}{reasons}"
    assert not (tmp_path / "digest.md").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "No such file or directory"), ("file.md", "Not a directory")],
)
async def test_what_is_no_folder_is_an_error(name: str, reason: str, tmp_path: Path) -> None:
    folder = fill(tmp_path, {"file.md": document("bean")}) / name
    with pytest.raises(FlowFailedError) as caught:
        await run(Digest(folder=str(folder)))
    told = f"no Markdown or text to condense in {folder}\n.: {reason}"
    assert str(caught.value.only()) == told


# ---------------------------------------------------------------- writing


async def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = fill(tmp_path / "beds", {"bean.md": document("bean")})
    out = fill(tmp_path / "out", {"digest.md/is/a/folder": ""}) / "digest.md"
    with pytest.raises(FlowFailedError) as caught:
        await run(Digest(folder=str(folder), out=str(out)))
    assert isinstance(caught.value.only(), OSError)
    assert [path.name for path in out.parent.iterdir()] == ["digest.md"]


async def test_the_folder_of_the_page_is_made_and_holds_nothing_else(tmp_path: Path) -> None:
    folder = fill(tmp_path / "beds", {"bean.md": document("bean")})
    out = tmp_path / "new" / "place" / "digest.md"
    await run(Digest(folder=str(folder), out=str(out)))
    assert [path.name for path in out.parent.iterdir()] == ["digest.md"]
    assert read_page(out).sections[0].link == "../../beds/bean.md"
