"""What the pages show of other libraries is run by ``theirs.py``, where they are installed; here it must at least be Python."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Final

import pytest

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGES: Final = sorted(DOCS.glob("how-to/coming-from-*.md"))
PROGRAM: Final = runpy.run_path(str(Path(__file__).with_name("theirs.py")))
blocks: Final[Callable[[Path], list[tuple[str, str, CodeType]]]] = PROGRAM["blocks"]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_code_of_others_is_of_one_library_in_the_version_that_the_page_tells(
    page: Path,
) -> None:
    ((library, release),) = {(library, release) for library, release, _ in blocks(page)}
    assert f"was run with {library} {release} on Python" in page.read_text(encoding="utf-8")


def test_there_is_a_page_for_each_library_that_people_come_from() -> None:
    names = {page.stem.removeprefix("coming-from-") for page in PAGES}
    assert names == {
        "aiolimiter",
        "langgraph",
        "pocketflow",
        "pybreaker",
        "pydantic-graph",
        "tenacity",
    }
