"""A project folder of one's own for each test of the command line, and the command run in this process."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from agentflow_trio.cli import main

# It has a receiver of traces, whose messages are OpenTelemetry's.
collect_ignore_glob = [] if find_spec("opentelemetry") else ["test_cli_observing*"]

HEAD = """\
from __future__ import annotations
import trio
from attrs import define, field
from agentflow_trio import *

"""


@frozen
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@frozen
class Project:
    """A folder with flows, which is the current one."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, source: str, *, head: str = HEAD) -> Path:
        """Write a file of *source*, after the usual imports."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + textwrap.dedent(source), encoding="utf-8")
        return path

    def run(self, *tokens: str) -> Answer:
        """Run ``agentflow`` with *tokens* in this process."""
        self.capsys.readouterr()
        code = main(list(tokens))
        out, err = self.capsys.readouterr()
        return Answer(int(code), out, err)


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Project]:
    """An empty folder to work in; modules imported from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "100")
    before = [*sys.modules]
    yield Project(tmp_path, capsys)
    for name in [*sys.modules]:
        file = str(getattr(sys.modules[name], "__file__", None))
        if name not in before and file.startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(project: Project) -> Callable[..., Path]:
    """Shorthand for ``project.write``."""
    return project.write
