"""What the tests of examples that ask a model share: servers, and three documents for docs/examples/digest.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from loopback import Model

if TYPE_CHECKING:
    from digest import Digest

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@contextmanager
def served(server: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """Let *server* answer, and see that nobody has left a connection to it open."""
    for name in ("OPENAI_API_KEY", *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    with server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.leaving.set()
        server.shutdown()
        thread.join()
    assert server.forgotten == 0


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    # the digest needs the extra, and other examples are tested without it
    from model_server import Model, condenses  # noqa: PLC0415

    with served(Model(condenses), monkeypatch) as server:
        yield server


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """A model that streams, for docs/examples/agent.py."""
    with served(Model(), monkeypatch) as server:
        yield server


@pytest.fixture
def start(tmp_path: Path) -> Digest:
    """Three documents; the model is the test's to name."""
    from digest_kit import garden  # noqa: PLC0415 - as above

    return garden(tmp_path, "bean", "kale", "leek")
