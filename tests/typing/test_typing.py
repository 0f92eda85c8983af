"""What the types promise: mypy --strict and pyright strict refuse every bad program, and no good one.

``bad/`` is never run. A program there is what stands below a line ``# ---- what is wrong``; both
checkers must refuse exactly its lines marked ``# bad`` (``# bad: mypy`` and ``# bad: pyright`` mark
what only one of them sees). A mark that stops being an error fails, and so does an error without a
mark. ``good/`` holds one program for each file: clean in both, and its ``main`` runs to its end.

The messages quoted in docs/how-to/type-check-your-nodes.md are compared here with what is printed.
By hand: ``mypy --config-file tests/typing/mypy.ini`` and ``pyright -p tests/typing``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
PAGE: Final = ROOT / "docs" / "how-to" / "type-check-your-nodes.md"
CHECKERS: Final = ("mypy", "pyright")

TITLE: Final = re.compile(r"# ---- (.+)")
MARK: Final = re.compile(r"# bad(?:: (mypy|pyright))?$")
FENCE: Final = re.compile(
    r"(<!-- type-error -->\n)?^```(python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)

Found = Mapping[int, list[str]]
"""What a checker says of one file: line -> messages."""


@attrs.frozen
class Program:
    """Lines of a file of bad programs. line: of its title, or 1 for what stands above the first."""

    file: str
    line: int
    title: str
    text: tuple[str, ...]

    def marked(self, checker: str) -> list[int]:
        """The lines at which *checker* must find something."""
        marks = [(at, MARK.search(line)) for at, line in enumerate(self.text, self.line)]
        return [at for at, mark in marks if mark and mark[1] in {None, checker}]

    def amiss(self, checker: str, found: Found) -> list[str]:
        """Say at which lines what *checker* found is not what is marked."""
        end = self.line + len(self.text)
        seen = {at: said for at, said in found.items() if self.line <= at < end}
        marked = self.marked(checker)
        lost = [f"{self.file}:{at}: {checker} finds nothing" for at in marked if at not in seen]
        return lost + [
            f"{self.file}:{at}: not marked, but {checker} says: {message}"
            for at, said in sorted(seen.items())
            if at not in marked
            for message in said
        ]


def programs(file: str, text: str) -> Iterator[Program]:
    """Cut *text* at its titles."""
    lines = text.splitlines()
    titles = [(at, TITLE.fullmatch(line)) for at, line in enumerate(lines)]
    starts = [(0, "what stands above"), *((at, found[1]) for at, found in titles if found)]
    for (start, title), (end, _) in zip(starts, [*starts[1:], (len(lines), "")], strict=True):
        yield Program(file, start + 1, title, tuple(lines[start:end]))


BAD: Final = [
    program
    for path in sorted((HERE / "bad").glob("*.py"))
    for program in programs(f"bad/{path.name}", path.read_text(encoding="utf-8"))
]
GOOD: Final = sorted((HERE / "good").glob("*.py"))


# ---------------------------------------------------------------- the two checkers


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Found]]:
    """What each checker says, once over all programs and the page: checker -> file -> findings."""
    for checker in CHECKERS:
        if importlib.util.find_spec(checker) is None:
            pytest.fail(
                f"{checker} is not installed: pip install --group types, or tox run -e types"
            )
    folder = tmp_path_factory.mktemp("typing")
    page = folder / "page.py"
    page.write_text(page_code(), encoding="utf-8")
    return {"mypy": mypy(page), "pyright": pyright(page)}


def mypy(page: Path) -> dict[str, Found]:
    config = (
        "--config-file",
        HERE / "mypy.ini",
        "--cache-dir",
        ROOT / ".mypy_cache" / "typing",
    )
    text = output("mypy", "--output=json", *config, HERE / "bad", HERE / "good", page)
    errors = [json.loads(line) for line in text.splitlines()]
    return by_file(
        (error["file"], error["line"], f"{error['message']}  [{error['code']}]")
        for error in errors
        if error["severity"] == "error"
    )


def pyright(page: Path) -> dict[str, Found]:
    config = page.with_name("pyrightconfig.json")
    folders = [os.path.relpath(HERE / name, config.parent) for name in ("bad", "good")]
    settings = {"extends": str(HERE / config.name), "include": [page.name, *folders]}
    config.write_text(json.dumps(settings), encoding="utf-8")
    text = output("pyright", "--outputjson", "--pythonpath", sys.executable, "-p", config)
    return by_file(
        (
            error["file"],
            error["range"]["start"]["line"] + 1,
            f"{error['message']} ({error['rule']})",
        )
        for error in json.loads(text)["generalDiagnostics"]
        if error["severity"] == "error"
    )


def output(module: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # 0: clean, 1: errors found; anything else: the checker itself failed
    assert done.returncode in {0, 1}, done.stderr + done.stdout
    return done.stdout


def by_file(errors: Iterable[tuple[str, int, str]]) -> dict[str, Found]:
    found: dict[str, dict[int, list[str]]] = {}
    for file, line, message in errors:
        path = Path(ROOT, file)
        name = path.relative_to(HERE).as_posix() if path.is_relative_to(HERE) else path.name
        found.setdefault(name, {}).setdefault(line, []).append(message)
    return dict(found)


# ---------------------------------------------------------------- bad programs


def test_there_are_as_many_programs_as_promised() -> None:
    both = [one for one in BAD if set(one.marked("mypy")) & set(one.marked("pyright"))]
    assert len(both) >= 60
    assert len(GOOD) >= 25


def test_every_bad_program_has_a_mark_and_a_title_of_its_own() -> None:
    titled = [one for one in BAD if one.line > 1]
    assert [one.title for one in titled if not any(map(one.marked, CHECKERS))] == []
    titles = [(one.file, one.title) for one in titled]
    assert sorted({title for title in titles if titles.count(title) > 1}) == []


@pytest.mark.types
@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("program", BAD, ids=lambda one: f"{one.file}:{one.title}")
def test_a_bad_program_is_refused_exactly_where_it_is_marked(
    program: Program, checker: str, said: dict[str, dict[str, Found]]
) -> None:
    amiss = program.amiss(checker, said[checker].get(program.file, {}))
    assert not amiss, "\n".join(["", *amiss])


# ---------------------------------------------------------------- good programs


@pytest.mark.types
@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_program_is_clean(
    path: Path, checker: str, said: dict[str, dict[str, Found]]
) -> None:
    found = said[checker].get(f"good/{path.name}", {})
    assert not found, "".join(f"\n{path.name}:{at}: {found[at]}" for at in sorted(found))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
async def test_a_good_program_runs_to_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location(f"good_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Annotations are resolved, if at all, through the module's name.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    main: Callable[[], Awaitable[None]] = module.main
    await main()


def test_no_two_programs_are_alike() -> None:
    """A program says in its first line what it is for."""
    firsts = [path.read_text(encoding="utf-8").partition("\n")[0] for path in GOOD]
    assert all(first.startswith('"""') for first in firsts)
    assert len(set(firsts)) == len(GOOD)


# ---------------------------------------------------------------- the page that quotes the messages


@attrs.frozen
class Quote:
    """What the page says that the checkers say of the block in these lines. line: of the quote."""

    line: int
    block: range
    text: str


def fences() -> list[tuple[bool, str, int, str]]:
    """Every python and text block of the page: whether it is wrong, its kind, first line, text."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        (found[1] is not None, found[2], text.count("\n", 0, found.start(3)) + 1, found[3])
        for found in FENCE.finditer(text)
    ]


def page_code() -> str:
    """Return one module with every python block at its line of the page."""
    code = ""
    for _, kind, line, text in fences():
        if kind == "python":
            code += "\n" * (line - 1 - code.count("\n")) + text
    return code


def quotes() -> Iterator[Quote]:
    """Each text block right below a wrong block quotes what is said of it."""
    block = range(0)
    for is_wrong, kind, line, text in fences():
        if kind == "text" and block:
            yield Quote(line, block, text)
        block = range(line, line + text.count("\n")) if is_wrong else range(0)


def quoted(text: str) -> list[tuple[str, str]]:
    """Cut a quote at ``mypy:`` and ``pyright:``; whitespace means nothing."""
    parts = re.split(r"^(mypy|pyright):", text, flags=re.MULTILINE)
    assert not parts[0].strip(), parts[0]
    return list(zip(parts[1::2], (plain(part) for part in parts[2::2]), strict=True))


def plain(text: str) -> str:
    return " ".join(text.split())


def is_quoted(quote: str, messages: Iterable[str]) -> bool:
    """Whether *quote* is one of *messages*; three dots alone stand for any part left out."""
    parts = re.split(r"(?:^| )\.\.\.(?= |$)", quote)
    pattern = re.compile(".*".join(map(re.escape, parts)))
    return any(pattern.fullmatch(plain(message)) for message in messages)


@pytest.mark.types
@pytest.mark.parametrize("quote", [*quotes()], ids=lambda quote: f"line {quote.line}")
def test_the_page_quotes_what_is_printed(
    quote: Quote, said: dict[str, dict[str, Found]]
) -> None:
    for checker, text in quoted(quote.text):
        found = said[checker].get("page.py", {})
        messages = [message for at in quote.block for message in found.get(at, [])]
        assert is_quoted(text, messages), f"line {quote.line}, {checker} says: {messages}"


def test_the_page_quotes_both_checkers_below_every_wrong_block() -> None:
    wrong = [line for is_wrong, kind, line, _ in fences() if is_wrong and kind == "python"]
    assert [quote.block.start for quote in quotes()] == wrong
    assert len(wrong) >= 10
    for quote in quotes():
        assert {checker for checker, _ in quoted(quote.text)} == {*CHECKERS}, quote.line


@pytest.mark.types
@pytest.mark.parametrize("checker", CHECKERS)
def test_the_rest_of_the_page_is_clean(checker: str, said: dict[str, dict[str, Found]]) -> None:
    wrong = [at for quote in quotes() for at in quote.block]
    found = said[checker].get("page.py", {})
    assert [(at, found[at]) for at in sorted(found) if at not in wrong] == []


# ---------------------------------------------------------------- the harness itself

SPECIMEN: Final = """\
import this
# ---- one thing
x: int = ""  # bad
y = 1
# ---- another
z: int = ""  # bad: mypy
"""


def test_a_file_is_cut_at_its_titles() -> None:
    above, one, another = programs("bad/x.py", SPECIMEN)
    assert (above.line, above.text) == (1, ("import this",))
    assert (one.title, one.line, one.marked("mypy"), one.marked("pyright")) == (
        "one thing",
        2,
        [3],
        [3],
    )
    assert (another.line, another.marked("mypy"), another.marked("pyright")) == (5, [6], [])


@pytest.mark.parametrize(
    ("found", "amiss"),
    [
        ({3: ["no int"]}, []),
        ({3: ["no int"], 6: ["of another program"]}, []),
        ({}, ["bad/x.py:3: mypy finds nothing"]),
        (
            {3: ["no int"], 4: ["unused", "odd"]},
            [
                "bad/x.py:4: not marked, but mypy says: unused",
                "bad/x.py:4: not marked, but mypy says: odd",
            ],
        ),
    ],
)
def test_a_lost_mark_and_an_error_without_one_are_told(
    found: dict[int, list[str]], amiss: list[str]
) -> None:
    _, one, _ = programs("bad/x.py", SPECIMEN)
    assert one.amiss("mypy", found) == amiss


def test_a_quote_is_the_whole_message_but_for_dots() -> None:
    assert quoted('mypy: no "x"\n  [attr]\npyright: gone ...\n') == [
        ("mypy", 'no "x" [attr]'),
        ("pyright", "gone ..."),
    ]
    assert is_quoted('no "x" [attr]', ['no "x"  [attr]'])
    assert not is_quoted("no", ['no "x"  [attr]'])
    assert is_quoted("gone ... good", ["kept", "gone away for\n  good"])
    assert not is_quoted("gone ... good", ["kept", "gone for ever"])
    assert not is_quoted("Step[Article, ...]", ["Step[Article, [], ]"])
