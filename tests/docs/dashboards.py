"""Write the dashboard and the rules beside the pages: ``python tests/docs/dashboards.py``.

The test suite fails while a file is not what this writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agentflow_trio.observe import grafana_dashboard, prometheus_rules

FOLDER: Final = Path(__file__).parents[2] / "docs" / "dashboards"

FILES: Final = {
    "agentflow.grafana.json": grafana_dashboard,
    "agentflow.rules.yml": prometheus_rules,
}
"""What is written: file -> how."""


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in FILES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
