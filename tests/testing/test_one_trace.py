"""The same seed gives the same run on every Python, in every process, under every hash seed; another seed another run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from traced_program import program

from agentflow_trio.testing import check_deterministic

pytestmark = pytest.mark.slow

ONE_TRACE = Path(__file__).parents[1] / "deep" / "one_trace.py"


def test_processes_with_other_hash_seeds_give_one_trace() -> None:
    command = [sys.executable, str(ONE_TRACE), "--runs", "18", "--processes", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 trace(s); 10 other seeds: 10 traces" in done.stdout


def test_a_program_with_everything_in_it_is_deterministic() -> None:
    lines = check_deterministic(program, seed=3)
    assert lines == check_deterministic(program, seed=3, hash_seed=None)
    assert lines[-1].split()[1] == "returned"
