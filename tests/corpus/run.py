"""Measure how many schedules a search needs to find planted bugs, and that it never blames a correct twin.

    python tests/corpus/run.py                       the cases in this folder
    python tests/corpus/run.py DIR                   those in another one
    python tests/corpus/run.py --case lost_update    one of them; can be repeated
    python tests/corpus/run.py --replay CASE CODE    one schedule of one case; exit 1 if it fails

A case is a module with ``async def program(rng, buggy)`` and ``check(obs)``. Its bug is found if the program raises or
hangs, or if ``check`` raises or returns False or a text that is not empty. With ``buggy=False`` nothing of that may
ever happen. Every case is measured in a process of its own, by `explore` as anybody would call it.

Exit 1: a bug that the portfolio did not find within 100 schedules (--seeds), a false alarm, a schedule that did not
fail again in a fresh process, or a module that could not be used.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

from attrs import asdict, evolve, field, frozen

from agentflow_trio.testing import Exploration, Policy, explore

HERE = Path(__file__).parent
POLICIES: tuple[Policy, ...] = (
    "batch",
    "one-at-a-time",
    "priorities",
    "preemptions",
    "portfolio",
)
PATIENCE = 300
"""Real seconds after which the process of a case is given up."""

FAR = 1_000_000
"""First seed for the twins, far from those with which bugs are looked for."""


class BadCaseError(Exception):
    """A module is no case, or cannot be used. Why is the message."""


@frozen
class Case:
    """One case, measured.

    Attributes:
        name: of its module.
        tries: schedules until the bug was found, by policy; None if it was not.
        alarms: what was said about the twin, by policy; empty if nothing, as it should be.
        code: repeats the failure that the portfolio found, or is empty.
        error: what failed.
        deviations: choices that differ from the usual order, once it was made short.
        found_with: how many did before.
        seconds: from the failing schedule to the report: made short, and seen to fail again.
        again: whether it failed again in a fresh process.
        broken: why the case could not be measured; empty if it was.
    """

    name: str
    tries: dict[str, int | None] = field(factory=dict[str, "int | None"])
    alarms: dict[str, str] = field(factory=dict[str, str])
    code: str = ""
    error: str = ""
    deviations: int = 0
    found_with: int = 0
    seconds: float = 0.0
    again: bool = False
    broken: str = ""


@frozen
class Options:
    """What to measure.

    Attributes:
        folder: with the cases.
        seeds: schedules a policy may take to find a bug.
        twins: schedules under which each policy runs the twin.
        policies: which of them.
    """

    folder: str
    seeds: int
    twins: int
    policies: list[Policy]


# ---------------------------------------------------------------- in the process of a case


def load(path: Path) -> Any:
    """The module at *path*; its neighbours can be imported by it.

    Raises:
        BadCaseError: that fails, or it is no case.
    """
    name = f"corpus_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise BadCaseError(f"cannot be imported: {error!r}") from error
    for part in ("program", "check"):
        if not callable(getattr(module, part, None)):
            raise BadCaseError(f"has no {part}()")
    return module


def search(module: Any, *, buggy: bool, policy: Policy, seeds: int, first: int) -> Exploration:
    """Search the schedules of a case."""
    return explore(
        parts(module, buggy)[0],
        check=parts(module, buggy)[1],
        seeds=seeds,
        first_seed=first,
        policy=policy,
    )


def parts(
    module: Any, buggy: bool
) -> tuple[Callable[[Random], Any], Callable[[object], object]]:
    """Program and check of a case, as `explore` takes them."""

    async def program(dice: Random) -> object:
        return await module.program(dice, buggy)

    def check(seen: object) -> None:
        told = module.check(seen)
        if told is False or (isinstance(told, str) and told):
            raise AssertionError(told or f"check() returned False for {seen!r}")

    return program, check


def measure(name: str, options: Options) -> Case:
    """Measure one case here and now."""
    case = Case(name)
    try:
        module = load(Path(options.folder, f"{name}.py"))
    except BadCaseError as error:
        return evolve(case, broken=str(error))
    for policy in options.policies:
        twin = search(module, buggy=False, policy=policy, seeds=options.twins, first=FAR)
        for alarm in twin.failures:
            case.alarms[policy] = f"{alarm.code} {alarm.error!r}"
        before = time.perf_counter()
        found = search(module, buggy=True, policy=policy, seeds=options.seeds, first=0)
        took = time.perf_counter() - before
        failure = found.failures[0] if found.failures else None
        case.tries[policy] = None if failure is None else failure.tries
        if failure is not None and policy == options.policies[-1]:
            case = evolve(
                case,
                code=failure.code,
                error=type(failure.error).__name__,
                deviations=failure.deviations,
                found_with=failure.found_with,
                seconds=max(took - searching(module, policy, failure.tries - 1), 0.0),
            )
    return case


def searching(module: Any, policy: Policy, seeds: int) -> float:
    """Seconds for as many schedules, none of which fails."""
    if not seeds:
        return 0.0
    before = time.perf_counter()
    search(module, buggy=True, policy=policy, seeds=seeds, first=0)
    return time.perf_counter() - before


def replay(folder: Path, name: str, code: str) -> int:
    """Run one schedule of a case and print what came of it; 1 if it fails."""
    program, check = parts(load(folder / f"{name}.py"), True)
    found = explore(program, check=check, replay=code)
    print(found)
    return 1 if found.failures else 0


# ---------------------------------------------------------------- in the reporting process


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """This program with other arguments, in a fresh process."""
    return subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def measured(name: str, options: Options) -> Case:
    """Measure one case in a process of its own, and repeat what it found in another."""
    try:
        done = started("--job", json.dumps({"name": name, "options": asdict(options)}))
    except subprocess.TimeoutExpired:
        return Case(name, broken=f"did not end within {PATIENCE} s")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Case(name, broken=said[-1])
    case = Case(**json.loads(done.stdout.splitlines()[-1]))
    if not case.code:
        return case
    repeated = started(options.folder, "--replay", name, case.code)
    return evolve(case, again="\nreplay: " in repeated.stdout and repeated.returncode == 1)


def names_in(folder: Path) -> list[str]:
    """The modules of a folder that may be cases."""
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if path.resolve() != Path(__file__).resolve() and not path.stem.startswith("_")
    )


def all_measured(names: Sequence[str], options: Options) -> Iterator[Case]:
    """Case after case, several at once."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, case in enumerate(pool.map(measured, names, [options] * len(names)), 1):
            tries = case.tries.get(options.policies[-1])
            told = case.broken or ("missed" if tries is None else f"found by schedule {tries}")
            print(f"{number}/{len(names)} {case.name}: {told}", file=sys.stderr, flush=True)
            yield case


def cells(case: Case, options: Options) -> list[str]:
    tries = [case.tries.get(policy) for policy in options.policies]
    found = ["missed" if count is None else str(count) for count in tries]
    last = [str(case.deviations), str(case.found_with), f"{case.seconds:.2f}"]
    again = ("yes" if case.again else "NO") if case.code else ""
    return [
        case.name,
        *found,
        *(last if case.code else ["", "", ""]),
        case.code,
        again,
        ", ".join(case.alarms) or "-",
    ]


def table(cases: Sequence[Case], options: Options) -> str:
    """Every case in a line."""
    head = ["case", *options.policies, "deviations", "before", "report s", "code", "again"]
    lines = [
        [*head, "false alarms"],
        *(cells(case, options) for case in cases if not case.broken),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    right = range(1, len(options.policies) + 4)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def summary(cases: Sequence[Case], options: Options) -> Iterator[str]:
    """Every policy in a line; then what is wrong, if anything is."""
    for policy in options.policies:
        tries = sorted(case.tries[policy] or options.seeds + 1 for case in cases)
        found = sum(count <= options.seeds for count in tries)
        alarms = sum(policy in case.alarms for case in cases)
        spread = ", ".join(
            f"{name} {shown(tries[round(share * (len(tries) - 1))], options)}"
            for name, share in (("median", 0.5), ("p90", 0.9), ("max", 1.0))
        )
        yield (
            f"{policy}: found {found} of {len(tries)}, {spread} schedules; "
            f"{alarms} false alarms in {options.twins} schedules of each twin"
        )
    repeated = [case for case in cases if case.code]
    if repeated:
        yield (
            f"failed again in a fresh process: {sum(case.again for case in repeated)} of {len(repeated)}; "
            f"deviations left: {max(case.deviations for case in repeated)} at most; "
            f"report after {max(case.seconds for case in repeated):.2f} s at most"
        )


def shown(tries: int, options: Options) -> str:
    return str(tries) if tries <= options.seeds else f"over {options.seeds}"


def wrong(cases: Sequence[Case], options: Options) -> Iterator[str]:
    """What must not be."""
    judge = options.policies[-1]
    for case in cases:
        if case.broken:
            yield f"{case.name}: {case.broken}"
            continue
        if case.tries[judge] is None:
            yield f"{case.name}: not found by {judge}"
        if case.code and not case.again:
            yield f"{case.name}: {case.code} did not fail again in a fresh process"
        for policy, told in case.alarms.items():
            yield f"{case.name}: false alarm of {policy}: {told}"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("folder", nargs="?", type=Path, default=HERE, help="with the cases")
    made.add_argument("--seeds", type=int, default=100, help="schedules to find a bug in; 100")
    made.add_argument(
        "--twins", type=int, default=500, help="schedules of each twin and policy; 500"
    )
    made.add_argument(
        "--policy",
        action="append",
        choices=POLICIES,
        help="only this one; the last one named is judged",
    )
    made.add_argument("--case", action="append", metavar="NAME", help="only this one")
    made.add_argument("--replay", nargs=2, metavar=("CASE", "CODE"), help="run one schedule")
    made.add_argument("--job", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command line *arguments*; the exit code."""
    given = parser().parse_args(arguments)
    if given.job:
        order = json.loads(given.job)
        print(json.dumps(asdict(measure(order["name"], Options(**order["options"])))))
        return 0
    if given.replay:
        return replay(given.folder, *given.replay)
    names = given.case or names_in(given.folder)
    if not names:
        raise SystemExit(f"no case in {given.folder}")
    options = Options(
        str(given.folder), given.seeds, given.twins, given.policy or list(POLICIES)
    )
    cases = list(all_measured(names, options))
    sound = [case for case in cases if not case.broken]
    if sound:
        print(table(cases, options), *summary(sound, options), sep="\n")
    faults = list(wrong(cases, options))
    for fault in faults:
        print(f"WRONG {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
