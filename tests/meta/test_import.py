"""Importing the package is cheap: it loads no adapter, and asyncio is nobody's business here."""

from __future__ import annotations

import importlib.resources
import os
import subprocess
import sys
from typing import Final

import pytest

ADAPTERS: Final = [
    "asyncio",
    "cattrs",
    "cyclopts",
    "httpx",
    "hypercorn",
    "hypothesis",
    "nats",
    "opentelemetry",
    "prometheus_client",
    "pytest",
    "rich",
    "sqlite3",
    "starlette",
    "structlog",
    "trio_parallel",
    "typing_extensions",
]


def loaded(*names: str) -> set[str]:
    """Import *names* in a fresh interpreter and return every module then loaded."""
    program = f"import sys, {', '.join(names)}; print(*sys.modules)"
    return set(python("-c", program).split())


def python(*arguments: str) -> str:
    # Without these: coverage would start in the child, and brings modules of its own.
    environ = {name: value for name, value in os.environ.items() if "COV" not in name}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_importing_the_package_loads_no_adapter() -> None:
    assert sorted(loaded("agentflow_trio") & set(ADAPTERS)) == []


@pytest.mark.parametrize(
    "name",
    ["types", "errors", "events", "ports", "state", "robustness", "engine", "flow", "observe"],
)
def test_a_layer_loads_no_adapter_either(name: str) -> None:
    assert sorted(loaded(f"agentflow_trio.{name}") & set(ADAPTERS)) == []


def test_importing_the_package_loads_no_guard() -> None:
    """Most programs use two of them, and all together cost a quarter of the time it takes to import this."""
    eager = {"_around", "_dice", "_fault_point", "_own_limits"}
    for name in ("agentflow_trio", "agentflow_trio.robustness"):
        below = "agentflow_trio.robustness."
        found = {each.removeprefix(below) for each in loaded(name) if each.startswith(below)}
        assert found == eager


def test_a_guard_that_is_asked_for_is_loaded() -> None:
    program = "import sys; from agentflow_trio import Retry; print(*sys.modules)"
    found = set(python("-c", program).split())
    assert "agentflow_trio.robustness._retry" in found
    assert "agentflow_trio.robustness._pool" not in found


def test_the_probe_sees_an_adapter_that_is_loaded() -> None:
    assert "sqlite3" in loaded("agentflow_trio", "sqlite3")


def test_the_package_says_that_it_is_typed() -> None:
    assert (importlib.resources.files("agentflow_trio") / "py.typed").is_file()
