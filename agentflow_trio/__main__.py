"""``python -m agentflow_trio``: the same as ``agentflow``."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
