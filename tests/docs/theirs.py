"""Run what the pages show of other libraries: ``python tests/docs/theirs.py docs/how-to/coming-from-tenacity.md``.

Such a block is plain text below the comment ``<!-- theirs: NAME==VERSION -->``. The blocks of a page run in order in one
namespace, by an interpreter that has those libraries, in those versions; the test suite has none of them.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

THEIRS: Final = re.compile(r"<!-- theirs: (\S+)==(\S+) -->\n```text\n(.*?)```", re.DOTALL)

Block = tuple[str, str, CodeType]
"""The library, its version, and the code, compiled for its lines of the page."""


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in THEIRS.finditer(text):
        code = "\n" * text.count("\n", 0, match.start(3)) + match[3]
        found.append((match[1], match[2], compile(code, page, "exec", dont_inherit=True)))
    return found


def run(page: Path) -> int:
    """Run the blocks of *page*, and return how many.

    Raises:
        AssertionError: a library is here in another version, or does not do what the page says.
    """
    module = ModuleType("theirs_of_a_page")
    sys.modules[module.__name__] = module  # where some look annotations up
    found = blocks(page)
    for library, release, code in found:
        assert version(library) == release, f"{page} needs {library}=={release}"
        exec(code, vars(module))  # noqa: S102 - that is what it is for
    return len(found)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {run(Path(name))} blocks")  # noqa: T201
