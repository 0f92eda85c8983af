"""The page of scenarios shows each of them, and each is short enough to be copied."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = (ROOT / "tests/testing/test_scenarios.py").read_text(encoding="utf-8")
PAGE: Final = (ROOT / "docs/how-to/rehearse-what-production-does.md").read_text(
    encoding="utf-8"
)
FUNCTIONS: Final = [
    thing for thing in ast.parse(SOURCE).body if isinstance(thing, ast.FunctionDef)
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_scenario_is_on_the_page_and_has_less_than_twenty_lines(
    function: ast.FunctionDef,
) -> None:
    assert f":pyobject: {function.name}\n" in PAGE
    lines = SOURCE.splitlines()[function.lineno - 1 : function.end_lineno]
    assert len([line for line in lines if line.strip()]) < 20


def test_the_table_has_a_row_for_each_of_eleven() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| [")]
    assert len(rows) == sum(each.name.startswith("test_") for each in FUNCTIONS) == 11
