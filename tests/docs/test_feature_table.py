"""The tables of features point at pages, headings of pages and tests that exist; what we have not, they admit."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "explanation" / "feature-by-feature.md"
LINK: Final = re.compile(r"\[[^]]+\]\(([^)#]+)(?:#([^)]+))?\)")
TEST: Final = re.compile(r"`(tests/[^`]+)::(\w+)`")


def rows() -> dict[str, list[str]]:
    """The rows of all tables, heads and rules left out, by heading and feature."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith(("| |", "| ---")):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert found.setdefault(f"{heading}: {cells[0]}", cells) is cells, line
    return found


ROWS: Final = rows()


@cache
def functions(path: str) -> set[str]:
    """The names of the functions of a test file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return set(re.findall(r"^(?:async )?def (\w+)", text, re.MULTILINE))


def headings(page: Path) -> set[str]:
    """The anchors of a page, as Sphinx makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_we_have_is_shown_by_something_that_exists_and_what_we_have_not_says_no(
    row: list[str],
) -> None:
    _, ours, *_, shown = row
    if ours == "no" or ours.startswith("no:"):
        assert not shown
        return
    tests, pages = TEST.findall(shown), LINK.findall(shown)
    assert tests or pages
    for path, name in tests:
        assert name in functions(path)
    for link, heading in pages:
        assert not heading or heading in headings((PAGE.parent / link).resolve())


def test_every_row_of_a_table_has_all_its_cells() -> None:
    widths: set[int] = set()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| |"):
            widths = {line.count("|")}
        elif line.startswith("| "):
            assert {line.count("|")} == widths, line
