"""Draw the report that docs/how-to/read-a-profile.md shows: ``python tests/docs/draw_report.py`` (needs Chromium).

The picture is of the profile that the page's own code makes. It is not compared by a test: another version of the
browser draws letters a little differently.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

SUPPORT: Final = Path(__file__).parents[1] / "support"
WINDOW: Final = "1160,1010"


def main() -> None:
    """Run the page, open the report, and keep the picture."""
    sys.path.insert(0, str(SUPPORT))
    from chromium import look_at  # noqa: PLC0415 - found there
    from profile_page import PAGE, profile_of_page  # noqa: PLC0415

    from agentflow_trio.observe import report_html  # noqa: PLC0415

    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(report_html(profile_of_page()), encoding="utf-8")
        picture = PAGE.with_name("profile-report.png")
        look_at(page, f"--window-size={WINDOW}", f"--screenshot={picture}")


if __name__ == "__main__":
    main()
