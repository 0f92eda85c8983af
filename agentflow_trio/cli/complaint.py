"""How people are told that something went wrong (needs rich).

Layer: cli.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ._showing import harmless, shown

__all__ = ["complain"]


def complain(text: str) -> None:
    """Write *text* to stderr, as it may be shown; its first line is the sentence."""
    first, line_break, rest = harmless(shown(text)).partition("\n")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(Text.assemble(("error: ", "bold red"), first, line_break, rest))
