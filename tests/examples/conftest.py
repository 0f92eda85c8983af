"""What the tests of docs/examples/digest.py with a model share: the server, and three documents."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from model_server import Model

    from digest import Digest

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    # the digest needs the extra, and other examples are tested without it
    from model_server import Model  # noqa: PLC0415

    for name in ("OPENAI_API_KEY", *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    with Model() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.leaving.set()
        server.shutdown()
        thread.join()
    assert server.forgotten == 0


@pytest.fixture
def start(tmp_path: Path) -> Digest:
    """Three documents; the model is the test's to name."""
    from digest_kit import garden  # noqa: PLC0415 - as above

    return garden(tmp_path, "bean", "kale", "leek")
