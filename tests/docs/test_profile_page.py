"""The page about profiles shows what its code prints, and the picture that is made of it."""

from __future__ import annotations

import re

from profile_page import PAGE, profile_of_page


def test_the_table_on_the_page_is_the_one_its_code_prints() -> None:
    (shown,) = re.findall(
        r"^```text\n(.*?)```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert shown == profile_of_page().table(top=5)


def test_the_picture_is_there_and_small() -> None:
    """It is made by ``python tests/docs/draw_report.py``."""
    (name,) = re.findall(r"!\[.*\]\((.*\.png)\)", PAGE.read_text("utf-8"))
    picture = PAGE.with_name(name).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
