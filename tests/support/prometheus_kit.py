"""A real Prometheus for tests: started with a configuration, asked through its HTTP API, ended with the body.

The programs are those of ``$AGENTFLOW_PROMETHEUS`` (a folder), or of ``$PATH``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import attrs
import pytest
import trio
from programs_kit import needed

__all__ = ["Prometheus", "find_program", "starting_prometheus"]

FOLDER: Final = "AGENTFLOW_PROMETHEUS"
_LISTENS: Final = re.compile(rb'msg="Listening on" address=127\.0\.0\.1:(\d+)')
_READY: Final = b"Server is ready to receive web requests."


def find_program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; the test fails if there is none."""
    return needed(name, path=os.environ.get(FOLDER))


@attrs.frozen
class Prometheus:
    """A Prometheus that runs.

    Attributes:
        port: of its HTTP API, on 127.0.0.1.
    """

    port: int

    async def get(self, path: str, **query: str) -> Any:
        """The ``data`` of an answer of its API: ``await prometheus.get("query", query="up")``."""
        target = f"/api/v1/{path}" + (f"?{urlencode(query)}" if query else "")
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            await stream.send_all(request.encode())
            answer = b""
            async for more in stream:
                answer += more
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            body = _joined(body)
        told = json.loads(body)
        assert told["status"] == "success", told
        return told["data"]

    async def value(self, query: str) -> float | None:
        """What an instant *query* gives; None for nothing, which must not be several series."""
        result = (await self.get("query", query=query))["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    async def until(
        self, query: str, wanted: Callable[[float], bool], *, within: float = 10.0
    ) -> float:
        """Ask until the answer is *wanted*, and return it; fails after so many seconds of real time."""
        seen: float | None = None
        with trio.move_on_after(within):
            while True:
                seen = await self.value(query)
                if seen is not None and wanted(seen):
                    return seen
                await trio.sleep(0.05)
        pytest.fail(f"{query}: still {seen} after {within:g} s")


def _joined(body: bytes) -> bytes:
    """The body that came in chunks."""
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        whole += rest[:length]
        body = rest[length + 2 :] if length else b""
    return whole


@asynccontextmanager
async def starting_prometheus(
    folder: Path, *targets: str, rules: str | None = None, interval: str = "200ms"
) -> AsyncGenerator[Prometheus]:
    """Start a Prometheus in *folder* that scrapes *targets* (``127.0.0.1:9464``) and evaluates *rules*, every *interval*.

    The first scrape comes after 5 s, which is how long Prometheus waits for targets. Its API is at a free port that it
    chose itself. It is killed at the end: what it stored is the test's.
    """
    program = find_program("prometheus")
    config = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "scrape_configs": [
            {"job_name": "agentflow", "static_configs": [{"targets": list(targets)}]}
        ],
        "rule_files": [] if rules is None else ["rules.yml"],
    }
    # JSON is YAML
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    if rules is not None:
        (folder / "rules.yml").write_text(rules, encoding="utf-8")
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    async with trio.open_nursery() as nursery:
        log = (folder / "prometheus.log").open("wb")
        with log:
            run = partial(
                trio.run_process, command, stdout=log, stderr=subprocess.STDOUT, check=False
            )
            process: trio.Process = await nursery.start(run)
        try:
            yield Prometheus(await _port(folder / "prometheus.log", process))
        finally:
            process.kill()


async def _port(log: Path, process: trio.Process) -> int:
    """The port it listens at, which it tells in its log."""
    with trio.fail_after(20.0):
        while True:
            text = await trio.Path(log).read_bytes()
            told = _LISTENS.search(text)
            if told is not None and _READY in text:
                return int(told[1])
            assert process.poll() is None, text.decode()
            await trio.sleep(0.02)
