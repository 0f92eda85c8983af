"""Measure agentflow_trio against hand-written Trio code, and, with ``--peers``, other frameworks as well.

    python tests/bench/run.py                    every workload
    python tests/bench/run.py F1 F2 --json FILE  two of them, the figures kept as JSON as well
    python tests/bench/run.py --peers            peers, too, where they are installed
    python tests/bench/run.py --check            exit 1 when a gate is missed
    python tests/bench/run.py --explain          what each workload does, and why its limit is fair

Every measurement has processes of its own. A ratio says how many times as long as the limit something takes.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import trio
from attrs import asdict, frozen
from bench_limits import Body
from bench_memory import import_rounds, loop_memory, loop_rss, parked_bytes, parked_rss
from bench_pairs import Loop, Rounds, rounds_of, timed
from bench_report import OURS, Row, as_json, as_markdown, as_table, failed, figure_row, pair_row
from bench_workloads import WORKLOADS, Kind, Workload


@frozen
class Side:
    """Somebody who runs the workloads.

    Attributes:
        name: what the table calls them.
        module: where their adapter is; empty if the workload says it.
        package: what is imported to use them.
        distribution: what has to be installed for that.
        loop: what their bodies run on.
        shapes: the workloads they know, by shape.
    """

    name: str
    module: str
    package: str
    distribution: str
    loop: Loop = "asyncio"
    shapes: tuple[str, ...] = ()


US = Side(OURS, "", "agentflow_trio", "agentflow_trio", "trio")
LIMIT = Side("limit", "", "trio", "trio", "trio")
FLOWS = ("", "chain", "by_hand_quiet", "loop", "nested", "fleet")  # "": the import
AT_ONCE = (*FLOWS, "branches", "batches", "items")
RETRY, CIRCUIT = ("retry_call", "retry_loop"), ("closed", "rejected")
PEERS = (
    Side("PocketFlow", "peers.side_pocketflow", "pocketflow", "pocketflow", shapes=AT_ONCE),
    Side(
        "pydantic-graph",
        "peers.side_pydantic_graph",
        "pydantic_graph",
        "pydantic-graph",
        shapes=AT_ONCE,
    ),
    Side("LangGraph", "peers.side_langgraph", "langgraph.graph", "langgraph", shapes=AT_ONCE),
    Side("Burr", "peers.side_burr", "burr.core", "apache-burr", shapes=FLOWS),
    Side("DBOS", "peers.side_dbos", "dbos", "dbos", shapes=FLOWS),
    Side("backoff", "peers.side_backoff", "backoff", "backoff", shapes=RETRY[:1]),
    Side("stamina", "peers.side_stamina", "stamina", "stamina", "trio", RETRY),
    Side("tenacity", "peers.side_tenacity", "tenacity", "tenacity", "trio", RETRY),
    Side("aiobreaker", "peers.side_aiobreaker", "aiobreaker", "aiobreaker", shapes=CIRCUIT),
    Side("purgatory", "peers.side_purgatory", "purgatory", "purgatory", shapes=CIRCUIT),
    Side("pybreaker", "peers.side_pybreaker", "pybreaker", "pybreaker", "trio", CIRCUIT),
    Side("aiolimiter", "peers.side_aiolimiter", "aiolimiter", "aiolimiter", shapes=("admit",)),
    Side("limits", "peers.side_limits", "limits", "limits", shapes=("admit",)),
    Side("pyrate", "peers.side_pyrate", "pyrate_limiter", "pyrate-limiter", shapes=("admit",)),
    Side("Semaphore", "peers.side_semaphore", "trio", "trio", "trio", ("lend", "line")),
    Side("CapacityLimiter", "peers.side_capacity", "trio", "trio", "trio", ("lend", "line")),
)
SIDES = {side.name: side for side in (US, LIMIT, *PEERS)}
PATIENCE = 600
"""Seconds after which a measuring process is given up. The slowest peer needs about one hundred."""

UNSTEADY = 1.2
"""How far the rounds of the control may lie apart before it is worth a word."""

BY_NAME = {workload.name: workload for workload in WORKLOADS}


@frozen
class Options:
    """How long and how to measure.

    Attributes:
        seconds: for the rounds of one process.
        rounds: exactly so many per process instead; 0 leaves it to *seconds*.
        processes: over how many fresh processes the rounds of our side are spread.
        gc_on: whether garbage may be collected during a sample.
        clock: the function of `time` that is read.
    """

    seconds: float
    rounds: int
    processes: int
    gc_on: bool
    clock: str


class JobFailedError(Exception):
    """A measuring process ended badly. What it last said is the message."""


# ---------------------------------------------------------------- in the measuring process


def module_of(workload: Workload, side: Side) -> ModuleType:
    mine = workload.limits if side is LIMIT else workload.ours
    return import_module(side.module or mine)


def builder(module: ModuleType, shape: str) -> Callable[..., Body]:
    made: Callable[..., Body] = getattr(module, shape)
    return made


def sizes(module: ModuleType, workload: Workload) -> tuple[tuple[int, ...], int]:
    """The size and its units; a slow peer may ask for a smaller one, which its limit gets, too."""
    smaller: Mapping[str, tuple[tuple[int, ...], int]] = getattr(module, "SMALLER", {})
    return smaller.get(workload.name, (workload.size, workload.units))


def measure_pair(workload: Workload, side: Side, options: Options) -> Mapping[str, object]:
    module = module_of(workload, side)
    size, units = sizes(module, workload)
    limit = builder(import_module(workload.limits), workload.limit)(*size)
    other = builder(module, workload.shape)(*size)
    clock: Callable[[], int] = getattr(time, options.clock)
    result = rounds_of(
        timed(limit, units, "trio", gc_on=options.gc_on, clock=clock),
        timed(other, units, side.loop, gc_on=options.gc_on, clock=clock),
        seconds=options.seconds,
        rounds=options.rounds or None,
    )
    return asdict(result) | {"units": units}


def measure_depth(workload: Workload, module: ModuleType) -> Mapping[str, object]:
    body = builder(module, workload.shape)(*workload.size)

    async def main() -> int:
        return await body()

    return {"value": trio.run(main)}


def measure(workload: Workload, side: Side, options: Options) -> Mapping[str, object]:
    """Do one measurement here and now."""
    if workload.kind is Kind.PAIR:
        return measure_pair(workload, side, options)
    module = module_of(workload, side)
    if workload.kind is Kind.DEPTH:
        return measure_depth(workload, module)
    build = builder(module, workload.shape)
    if workload.kind is Kind.WORST:
        return {"value": build(*workload.size)}
    if workload.kind is Kind.LOOP_MEMORY:
        return dict(loop_memory(build, workload.size))
    if workload.kind is Kind.LOOP_RSS:
        return dict(loop_rss(build, workload.size))
    weigh = parked_bytes if workload.kind is Kind.PARKED_BYTES else parked_rss
    flows, nodes = workload.size
    return {"value": weigh(build, flows, nodes)}


# ---------------------------------------------------------------- in the reporting process


def job(workload: Workload, side: Side, options: Options) -> Mapping[str, object]:
    """Do one measurement in a fresh process.

    Raises:
        JobFailedError: it did not work.
    """
    order = json.dumps({
        "workload": workload.name,
        "side": side.name,
        "options": asdict(options),
    })
    command = [sys.executable, str(Path(__file__)), "--job", order]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise JobFailedError(f"it did not end within {PATIENCE} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise JobFailedError(said[-1])
    figures: Mapping[str, object] = json.loads(done.stdout.splitlines()[-1])
    return figures


def whole_numbers(value: object) -> list[int]:
    assert isinstance(value, list)
    return [int(entry) for entry in value]


def real(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def pair(workload: Workload, side: Side, options: Options) -> Row:
    rounds, units = Rounds(), 1
    for _ in range(options.processes if side in {US, LIMIT} else 1):
        figures = job(workload, side, options)
        rounds.limit_ns.extend(whole_numbers(figures["limit_ns"]))
        rounds.other_ns.extend(whole_numbers(figures["other_ns"]))
        units = int(real(figures["units"]))
    note = "" if units == workload.units else f"{units:,} units instead of {workload.units:,}"
    return pair_row(workload, side.name, rounds, units, note)


def imported(workload: Workload, side: Side, options: Options) -> Row:
    # With PYTHONDONTWRITEBYTECODE every import would compile, and that is not what is asked.
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    rounds = options.rounds or (21 if side is US else 7)
    limits, others = import_rounds("trio", side.package, rounds, options.clock, environment)
    return pair_row(workload, side.name, Rounds(limits, others), 1)


def memory_over_loops(workload: Workload, side: Side, options: Options) -> Row:
    figures = job(workload, side, options)
    first, *_, last = workload.size
    note = ", ".join(
        f"{real(figures[str(steps)]) / 1024:,.0f} KB at {steps:,}" for steps in workload.size
    )
    if (seconds := figures.get(f"seconds_{last}")) is not None:
        note += f"; {real(seconds) / last * 1e6:.2f} us per step"
    grown = (real(figures[str(last)]) - real(figures[str(first)])) / 1024
    return figure_row(workload, side.name, grown, note=note)


def weight(workload: Workload, side: Side, options: Options) -> Row:
    scale = 1024 * 1024 if workload.unit == "MB" else 1
    value = real(job(workload, side, options)["value"]) / scale
    limit = real(job(workload, LIMIT, options)["value"]) / scale
    return figure_row(workload, side.name, value, limit)


def single(workload: Workload, side: Side, options: Options) -> Row:
    return figure_row(workload, side.name, real(job(workload, side, options)["value"]))


MEASURED: Mapping[Kind, Callable[[Workload, Side, Options], Row]] = {
    Kind.PAIR: pair,
    Kind.LOOP_MEMORY: memory_over_loops,
    Kind.LOOP_RSS: memory_over_loops,
    Kind.PARKED_BYTES: weight,
    Kind.PARKED_RSS: weight,
    Kind.DEPTH: single,
    Kind.WORST: single,
    Kind.IMPORT: imported,
}


def is_there(side: Side) -> bool:
    try:
        return find_spec(side.package) is not None
    except ModuleNotFoundError:
        return False


def row_of(workload: Workload, side: Side, options: Options) -> Row:
    if not is_there(side):
        return failed(workload, side.name, f"{side.distribution} is not installed")
    try:
        return MEASURED[workload.kind](workload, side, options)
    except (JobFailedError, subprocess.CalledProcessError) as error:
        return failed(workload, side.name, str(error))


def peers_of(workload: Workload) -> list[Side]:
    return [side for side in PEERS if workload.shape in side.shapes]


def rows_of(workloads: Sequence[Workload], options: Options, *, peers: bool) -> Iterator[Row]:
    for workload in workloads:
        yield row_of(workload, LIMIT if workload.control else US, options)
        if peers and workload.peers:
            for side in peers_of(workload):
                yield row_of(workload, side, options)


def explain() -> str:
    """What each workload does and why its limit is fair."""
    parts, told = list[str](), dict[object, str]()
    for workload in WORKLOADS:
        shape = (
            import_rounds
            if workload.kind is Kind.IMPORT
            else getattr(import_module(workload.limits), workload.limit or workload.shape)
        )
        parts.append(f"{workload.name}: {workload.title}")
        if shape in told:
            parts.append(f"    as {told[shape]}")
        else:
            text = inspect.getdoc(shape) or ""
            parts.append("    " + text.replace("\n", "\n    "))
            told[shape] = workload.name
    return "\n".join(line.rstrip() for line in "\n".join(parts).splitlines())


def parser() -> argparse.ArgumentParser:
    names = " ".join(BY_NAME)
    made = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"workloads: {names}",
    )
    made.add_argument("--peers", action="store_true", help="measure other frameworks as well")
    made.add_argument("--check", action="store_true", help="exit 1 when a gate is missed")
    made.add_argument("--json", type=Path, metavar="FILE", help="keep the figures as JSON")
    made.add_argument(
        "--markdown", type=Path, metavar="FILE", help="keep the table as Markdown"
    )
    made.add_argument(
        "--rounds", type=int, default=0, help="exactly so many rounds per process"
    )
    made.add_argument(
        "--seconds", type=float, default=2.0, help="for the rounds of a process; 2"
    )
    made.add_argument("--processes", type=int, default=3, help="to spread our rounds over; 3")
    made.add_argument("--gc", action="store_true", help="let the collector run during samples")
    made.add_argument(
        "--cpu",
        action="store_true",
        help="compare processor time: for a machine that has other things to do, too",
    )
    made.add_argument("--explain", action="store_true", help="say what is measured, and stop")
    made.add_argument("--job", help=argparse.SUPPRESS)
    return made


def chosen(names: Sequence[str]) -> list[Workload]:
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise SystemExit(
            f"no workload called {', '.join(unknown)}; there are {', '.join(BY_NAME)}"
        )
    return [workload for workload in WORKLOADS if not names or workload.name in names]


def report(rows: Sequence[Row], *, check: bool) -> int:
    for row in rows:
        if row.workload == "F0" and row.low and row.high and row.high / row.low > UNSTEADY:
            print("This machine is busy: F0 should be 1.00x all over. --cpu helps.")
    missed = [row.workload for row in rows if row.verdict in {"MISSED", "failed"}]
    kept = sum(row.verdict in {"ok", "aim"} for row in rows)
    print(
        f"{kept} gates kept, {len(missed)} missed"
        + (f": {', '.join(missed)}" if missed else "")
    )
    return 1 if check and missed else 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line *arguments*; the exit code."""
    asked = parser().parse_args(arguments)
    if asked.job:
        order = json.loads(asked.job)
        workload, side = BY_NAME[order["workload"]], SIDES[order["side"]]
        print(json.dumps(measure(workload, side, Options(**order["options"]))))
        return 0
    if asked.explain:
        print(explain())
        return 0
    clock = "process_time_ns" if asked.cpu else "perf_counter_ns"
    options = Options(asked.seconds, asked.rounds, asked.processes, asked.gc, clock)
    rows = list[Row]()
    for row in rows_of(chosen(asked.names), options, peers=asked.peers):
        rows.append(row)
        print(f"{row.workload} {row.side} done", file=sys.stderr, flush=True)
    print(as_table(rows))
    if asked.json:
        packages = ["agentflow_trio", "trio", "attrs", *(side.distribution for side in PEERS)]
        asked.json.write_text(
            json.dumps(as_json(rows, asdict(options), packages), indent=1) + "\n"
        )
    if asked.markdown:
        asked.markdown.write_text(as_markdown(rows) + "\n")
    return report(rows, check=asked.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
