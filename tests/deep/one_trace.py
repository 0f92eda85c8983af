"""The same seed gives the same run: a thousand runs in ten processes, on three Pythons, under three hash seeds.

``tox -e deep`` runs it. By itself: ``python tests/deep/one_trace.py --pythons python3.11 python3.12 python3.13``, each of
which must have the package installed, or ``--install WHEEL`` to have that done in environments of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice, product
from pathlib import Path

HERE = Path(__file__).resolve()
HASH_SEEDS = (0, 1, 4_294_967_295)


def digest(seed: int) -> str:
    """A fingerprint of every step of one run and of all it reported. Needs the package, as the main program does not."""
    sys.path.insert(0, str(HERE.parents[1] / "support"))
    program = importlib.import_module("traced_program").program
    check_deterministic = importlib.import_module("agentflow_trio.testing").check_deterministic
    lines: list[str] = list(check_deterministic(program, seed=seed, hash_seed=None))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def installed(python: str, package: str, folder: Path) -> str:
    """Make an environment of *python* with *package* in it; return its interpreter."""
    home = folder / Path(python).name
    # cleared, or pip would keep an older build of the same version
    subprocess.run([python, "-m", "venv", "--clear", home], check=True)
    own = str(home / "bin" / "python")
    pip = [own, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", package]
    subprocess.run(pip, check=True)
    return own


def spread(pythons: Sequence[str], processes: int, runs: int) -> Counter[str]:
    """Have *runs* runs made by *processes* processes; count the different traces."""
    share = runs // processes
    kinds = islice(cycle(product(pythons, HASH_SEEDS)), processes)
    begun = [(python, seed, _begin(python, seed, share // 2)) for python, seed in kinds]
    traces: Counter[str] = Counter()
    for python, seed, process in begun:
        told, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{python} with hash seed {seed} failed")
        found: dict[str, int] = json.loads(told)
        print(
            f"{python} hash seed {seed}: {sum(found.values())} runs, traces {', '.join(found)}"
        )
        traces.update(found)
    return traces


def _begin(python: str, hash_seed: int, times: int) -> subprocess.Popen[str]:
    # check_deterministic makes two runs each time
    command = [python, str(HERE), "--here", str(times)]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Does the same seed give the same run?")
    parser.add_argument("--pythons", nargs="+", default=[sys.executable])
    parser.add_argument(
        "--install",
        metavar="WHEEL",
        nargs="?",
        const=os.environ.get("TOX_PACKAGE"),
        help="install this first, for each Python; by default what tox has built",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="where environments are made"
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--here", type=int, metavar="TIMES", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here is not None:
        found = Counter(digest(7) for _ in range(given.here))
        print(json.dumps({trace: 2 * times for trace, times in found.items()}))
        return 0
    begin = time.perf_counter()
    pythons: list[str] = given.pythons
    if given.install:
        pythons = [installed(python, given.install, given.folder) for python in pythons]
    traces = spread(pythons, given.processes, given.runs)
    others = {digest(seed) for seed in range(8, 18)}
    print(
        f"{sum(traces.values())} runs with seed 7 in {given.processes} processes: {len(traces)} trace(s); "
        f"10 other seeds: {len(others)} traces; {time.perf_counter() - begin:.1f} s"
    )
    return 0 if len(traces) == 1 and len(others) == 10 else 1


if __name__ == "__main__":
    sys.exit(main())
