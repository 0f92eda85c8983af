"""The table "seed -> ours -> test" names tests that exist, and admits what is not built."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "explanation" / "from-the-seed.md"
ROWS: Final = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
][2:]


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip("`")[:40] for row in ROWS])
def test_a_row_has_a_test_that_exists_or_says_that_it_is_not_built(row: list[str]) -> None:
    _, ours, test = row
    if not test:
        assert ours == "not built yet"
        return
    path, _, name = test.strip("`").partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in [node.name for node in tree.body if isinstance(node, functions)]
