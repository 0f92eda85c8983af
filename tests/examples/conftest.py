"""The examples are imported from the folder beside the tests, and never in front of the package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

# The digest reads Markdown with what the extra "cli" brings.
collect_ignore_glob = (
    [] if importlib.util.find_spec("markdown_it") is not None else ["test_digest*.py"]
)
