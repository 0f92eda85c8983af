"""A headless Chromium that opens one page, without a network."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from programs_kit import needed

__all__ = ["DARK", "look_at"]

DARK: Final = "--blink-settings=preferredColorScheme=0"

_QUIET: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def look_at(page: Path, *options: str) -> tuple[str, str]:
    """Open *page* with more options; return what the browser wrote to stdout and stderr."""
    # it may still write into the folder when it has ended
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [
                needed("chromium"),
                *_QUIET,
                f"--user-data-dir={profile}",
                *options,
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return done.stdout, done.stderr
