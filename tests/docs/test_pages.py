"""Every python block of README.md and docs/ runs, and is clean in mypy and pyright, both strict.

A page is one module: its blocks run in order in one namespace, and are checked joined together,
at the line numbers of the page. What a block prints stands below it, as ``text``. A block below the comment ``<!-- type-error -->`` is not run, and
both checkers must refuse it; if it has lines that say ``# error``, then exactly at those lines.
A page whose blocks need an extra says so: ``<!-- extra: NAME -->``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

import attrs
import pytest
from printed import unlike
from sybil import Document
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "docs" / "examples"  # which pages import
PAGES: Final = [
    path.relative_to(ROOT).as_posix()
    for path in (
        *sorted(ROOT.glob("README.md")),
        *sorted(ROOT.glob("docs/**/*.md")),
        Path(__file__).with_name("specimen.md"),
    )
    if not path.is_relative_to(ROOT / "docs" / "_build")
]
EXTRA: Final = re.compile(r"<!--\s*extra: (\w+)\s*-->")
TYPE_ERROR: Final = re.compile(r"<!--\s*type-error\s*-->\s*\Z")
SHOWN: Final = re.compile(r".*?^( *)```(?:text\n(.*?)^ *```)?", re.DOTALL | re.MULTILINE)
FILE: Final = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
PROMPT: Final = re.compile(r"(>>>|\.\.\.)( |$)")


@attrs.frozen
class Block:
    """A fenced python block. line: of its first line of code in the page, from 1."""

    line: int
    code: str
    is_wrong: bool

    @property
    def lines(self) -> range:
        return range(self.line, self.line + self.code.count("\n"))

    @property
    def marked(self) -> list[int]:
        """The lines that say ``# error``."""
        code = self.code.splitlines()
        return [self.line + at for at, text in enumerate(code) if "# error" in text]


def shown_below(text: str) -> str | None:
    """The next fenced block of a page, if it shows what was printed."""
    found = SHOWN.match(text)
    return None if found is None or found[2] is None else textwrap.dedent(found[2])


Complaints = Mapping[str, list[tuple[int, str]]]
"""What one checker said: module -> (line, message), in order."""


def blocks(path: Path) -> list[Block]:
    document = Document.parse(str(path), CodeBlockParser("python", lambda _: None))
    return [
        Block(
            line=example.line + 1,
            code=without_prompts(str(example.parsed)),
            is_wrong=is_wrong(document.text[: example.region.start]),
        )
        for example in document.examples()
    ]


def is_wrong(before: str) -> bool:
    return TYPE_ERROR.search(before) is not None


def without_prompts(code: str) -> str:
    """Return a ``>>>`` session as code, its output as empty lines; anything else as it is."""
    if not code.startswith(">>>"):
        return code
    return "".join(
        (PROMPT.sub("", line, count=1) if PROMPT.match(line) else "") + "\n"
        for line in code.splitlines()
    )


def joined(parts: list[Block]) -> str:
    """Return one module with every block at its line of the page."""
    text = ""
    for block in sorted(parts, key=lambda block: block.line):
        text += "\n" * (block.line - 1 - text.count("\n")) + block.code
    return text


def module_name(page: str, wrong: Block | None = None) -> str:
    name = re.sub(r"\W", "_", page.removesuffix(".md"))
    return f"page_{name}" + (f"_line_{wrong.line}" if wrong else "")


def verdict(wrong: Block, found: list[tuple[int, str]]) -> str | None:
    """Say what is amiss with what a checker said to a block that it must refuse."""
    lines = sorted({line for line, _ in found})
    outside = [(line, message) for line, message in found if line not in wrong.lines]
    if outside:
        return f"errors outside the block: {outside}"
    if not lines:
        return "no error at all"
    if wrong.marked and lines != wrong.marked:
        return f"errors expected at lines {wrong.marked}, found {found}"
    return None


@pytest.fixture
def page_module(page: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A real module, since cattrs and pickle look names up in ``sys.modules``."""
    module = ModuleType(module_name(page))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def marks_of(page: str) -> list[pytest.MarkDecorator]:
    """The extras that its blocks need: each is a marker, by which tests are left out where it is not installed."""
    needed: list[str] = EXTRA.findall((ROOT / page).read_text(encoding="utf-8"))
    return [getattr(pytest.mark, extra) for extra in needed]


@pytest.mark.parametrize("page", [pytest.param(page, marks=marks_of(page)) for page in PAGES])
def test_every_block_runs(
    page: str,
    page_module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    document = Document.parse(str(ROOT / page), PythonCodeBlockParser())
    for name, text in FILE.findall(document.text):
        Path(name).write_text(text, encoding="utf-8")
    document.namespace = vars(page_module)
    for example in document.examples():
        if not is_wrong(document.text[: example.region.start]):
            example.evaluate()
            if printed := capsys.readouterr().out:
                shown = shown_below(document.text[example.region.end :])
                assert shown is not None, f"{page}:{example.line} does not show:\n{printed}"
                assert unlike(printed, shown) is None, printed


@pytest.fixture(scope="session")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Complaints]:
    """What mypy and pyright say of all pages at once."""
    folder = tmp_path_factory.mktemp("pages")
    for page in PAGES:
        found = blocks(ROOT / page)
        right = [block for block in found if not block.is_wrong]
        modules = {module_name(page): right}
        for wrong in (block for block in found if block.is_wrong):
            modules[module_name(page, wrong)] = [*right, wrong]
        for name, parts in modules.items():
            (folder / f"{name}.py").write_text(joined(parts), encoding="utf-8")
    return {"mypy": mypy(folder), "pyright": pyright(folder)}


def mypy(folder: Path) -> Complaints:
    said: dict[str, list[tuple[int, str]]] = {}
    # What users have: plain --strict, not the codes we add for ourselves.
    config = folder / "mypy.ini"
    path = f"{ROOT},{EXAMPLES}"
    config.write_text(f"[mypy]\nstrict = true\nmypy_path = {path}\n", encoding="utf-8")
    names = sorted(str(path) for path in folder.glob("*.py"))
    for line in output(
        "-m", "mypy", "--config-file", str(config), "--output=json", *names
    ).splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            place = said.setdefault(Path(error["file"]).stem, [])
            place.append((error["line"], error["message"]))
    return said


def pyright(folder: Path) -> Complaints:
    settings = {
        "include": ["."],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": [str(ROOT), str(EXAMPLES)],
        "stubPath": str(ROOT / "typings"),
        "reportUnusedExpression": False,  # what a prompt shows
    }
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    text = output(
        "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(config)
    )
    said: dict[str, list[tuple[int, str]]] = {}
    for error in json.loads(text)["generalDiagnostics"]:
        if error["severity"] == "error":
            place = said.setdefault(Path(error["file"]).stem, [])
            place.append((error["range"]["start"]["line"] + 1, error["message"]))
    return said


def output(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # 0: clean, 1: errors found; anything else: the checker itself failed
    assert done.returncode in {0, 1}, done.stderr + done.stdout
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.types
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_clean(
    page: str, checker: str, complaints: dict[str, Complaints]
) -> None:
    said = complaints[checker].get(module_name(page), [])
    assert not said, "".join(f"\n{page}:{line}: {message}" for line, message in said)


@pytest.mark.types
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        pytest.param(page, block, id=f"{page}:{block.line}")
        for page in PAGES
        for block in blocks(ROOT / page)
        if block.is_wrong
    ],
)
def test_a_wrong_block_is_refused(
    page: str, wrong: Block, checker: str, complaints: dict[str, Complaints]
) -> None:
    amiss = verdict(wrong, complaints[checker].get(module_name(page, wrong), []))
    assert amiss is None, f"{page}:{wrong.line}: {amiss}"


# The harness itself.


def test_a_page_is_joined_at_its_own_lines() -> None:
    page = ROOT / "tests" / "docs" / "specimen.md"
    text = page.read_text(encoding="utf-8").splitlines()
    module = joined([block for block in blocks(page) if not block.is_wrong]).splitlines()
    for at, line in enumerate(module):
        assert line.strip() in text[at]
    assert [at + 1 for at, line in enumerate(text) if "tally.count == 7" in line] == [
        len(module)
    ]


def test_a_session_becomes_code() -> None:
    assert without_prompts(">>> for x in y:\n...     f(x)\n...\n7\n>>> g()\n") == (
        "for x in y:\n    f(x)\n\n\ng()\n"
    )
    assert without_prompts("x = 1\n") == "x = 1\n"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("<!-- type-error -->\n", True),
        ("<!--type-error-->\n\n", True),
        ("<!-- type-error -->\ntext\n", False),
        ("text\n", False),
    ],
)
def test_the_mark_stands_right_above_its_block(before: str, *, expected: bool) -> None:
    assert is_wrong(before) is expected


@pytest.mark.parametrize(
    ("code", "found", "amiss"),
    [
        ("x\ny\n", [(11, "bad")], None),
        ("x\ny\n", [], "no error at all"),
        ("x\ny\n", [(9, "bad"), (11, "bad")], "errors outside the block: [(9, 'bad')]"),
        ("x\ny  # error\n", [(11, "bad")], None),
        ("x\ny  # error\n", [(10, "bad")], "expected at lines [11], found [(10, 'bad')]"),
    ],
)
def test_a_wrong_block_must_be_refused_where_it_says(
    code: str, found: list[tuple[int, str]], amiss: str | None
) -> None:
    said = verdict(Block(line=10, code=code, is_wrong=True), found)
    assert said is None if amiss is None else amiss in str(said)


@pytest.mark.parametrize(
    ("printed", "shown", "amiss"),
    [
        ("a\nb\n", "a\nb\n", None),
        ("a\nb\n", "a\n", "b"),
        ("a\n", "a\nb\n", "(nothing)"),
        ("a 1\nb\nc\n", "a …\n…\n", None),
        ("b 1\n", "a …\n", "b 1"),
        ("one, after 2e-05 s\n", "one, after 0.3 s\n", None),
        ("one, at 0.2 s\n", "one, at 0.3 s\n", "one, at 0.2 s"),
        (
            "replay: explore(..., replay='o1:2')\n",
            "replay: python -m x p.py:f --replay o1:2\n",
            None,
        ),
        ("page.md:7 in f: g()\n", "program.py:3 in f: g()\n", None),
    ],
)
def test_what_is_printed_must_be_what_is_shown(
    printed: str, shown: str, amiss: str | None
) -> None:
    assert unlike(printed, shown) == amiss


def test_what_is_shown_stands_right_below() -> None:
    assert shown_below("\n\nAnd so:\n\n   ```text\n   a\n     b\n   ```\n") == "a\n  b\n"
    assert shown_below("\n```python\nf()\n```\n\n```text\na\n```\n") is None
    assert shown_below("\nThat is all.\n") is None
