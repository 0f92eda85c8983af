"""The profile that docs/how-to/read-a-profile.md makes, by running what stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from agentflow_trio.observe import Profile

__all__ = ["PAGE", "profile_of_page"]

PAGE: Final = Path(__file__).parents[2] / "docs/how-to/read-a-profile.md"


def profile_of_page() -> Profile:
    """Run the page's first block of Python, and return its profile."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    module = sys.modules["profile_page_"] = ModuleType(
        "profile_page_"
    )  # its classes look it up
    try:
        exec(compile(blocks[0], str(PAGE), "exec"), vars(module))  # noqa: S102 - it is ours
    finally:
        del sys.modules["profile_page_"]
    made = vars(module)["profile"]
    assert isinstance(made, Profile)
    return made
