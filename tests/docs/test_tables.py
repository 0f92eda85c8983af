"""The tables on the pages are what the code says today."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from agentflow_trio.events import EVENT_TYPES, ExecutionEvent

PAGES: Final = Path(__file__).parents[2] / "docs"
PROGRAM: Final = runpy.run_path(str(Path(__file__).with_name("tables.py")))
TABLES: Final[Mapping[tuple[str, str], Callable[[], str]]] = PROGRAM["TABLES"]
replaced: Final[Callable[[str, str, str], str]] = PROGRAM["replaced"]
table: Final[Callable[[Any, Any], str]] = PROGRAM["table"]


@pytest.mark.parametrize(("page", "name"), TABLES)
def test_a_table_says_what_the_code_says(page: str, name: str) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    assert replaced(text, name, TABLES[page, name]()) == text, (
        "run  python tests/docs/tables.py"
    )


def test_every_table_that_a_page_has_is_written_by_somebody() -> None:
    marked = [
        (page.relative_to(PAGES).as_posix(), name)
        for page in PAGES.rglob("*.md")
        for name in re.findall("<!-- table: (.*) -->", page.read_text(encoding="utf-8"))
    ]
    assert sorted(marked) == sorted(TABLES)


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES.keys())
def test_an_event_says_what_each_of_its_fields_is(kind: type[ExecutionEvent]) -> None:
    named = [name for names, _ in PROGRAM["meanings"](kind) for name in names]
    own = [field.name for field in attrs.fields(kind) if not field.inherited]
    assert sorted(set(own) - set(named)) == []
    assert len(set(named)) == len(named)


def test_a_table_is_replaced_where_it_stands() -> None:
    page = "a\n<!-- table: x -->\nold\n<!-- end of table -->\nb\n"
    new = "a\n<!-- table: x -->\n\nnew\n\n<!-- end of table -->\nb\n"
    assert replaced(page, "x", "new\n") == new
    assert replaced(new, "x", "new\n") == new
    for wrong in ("", page + page, page.replace("end of", "end")):
        with pytest.raises(ValueError, match="not exactly one table 'x'"):
            replaced(wrong, "x", "new\n")


def test_a_cell_may_hold_a_bar() -> None:
    assert table(("a", "b"), [("x | y", "z")]) == "| a | b |\n| --- | --- |\n| x \\| y | z |\n"
