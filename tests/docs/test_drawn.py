"""The pictures on the pages are what the code draws today."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

PAGES: Final = Path(__file__).parents[2] / "docs"
PICTURES: Final[Mapping[str, Callable[[], str]]] = runpy.run_path(
    str(Path(__file__).with_name("draw.py"))
)["PICTURES"]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_from_what_it_shows(name: str) -> None:
    drawn = PICTURES[name]()
    assert (PAGES / name).read_text(encoding="utf-8") == drawn, "run  python tests/docs/draw.py"


@pytest.mark.parametrize("name", PICTURES)
def test_a_page_shows_it(name: str) -> None:
    file = Path(name)
    pages = (PAGES / file.parent).glob("*.md")
    assert any(f"]({file.name})" in page.read_text(encoding="utf-8") for page in pages)
