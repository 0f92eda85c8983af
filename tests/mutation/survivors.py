"""Which mutants no test noticed, and does the page say of each why it may live?

``mutmut results --all true | python tests/mutation/survivors.py docs/mutants.md``, as ``tox -e mutation`` does: a row for
each module, as on the page; then whatever is on one side only, which makes it fail.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

NAME = re.compile(r"(?P<module>[\w.]+)\.x[_ǁ](?P<function>\w+?)__mutmut_(?P<number>\d+)")
ON_THE_PAGE = re.compile(
    r"^\| `(?P<function>[\w.]+)` (?P<numbers>\d+(?:, \d+)*) \|", re.MULTILINE
)
UNKNOWN = "not checked"
NOTICED = {"killed", "timeout"}


def checked(results: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """The module, name and status of each mutant that was tried."""
    for line in results:
        mutant, _, status = line.strip().rpartition(": ")
        found = NAME.fullmatch(mutant)
        if found is not None and status != UNKNOWN:
            module = found["module"].removeprefix("agentflow_trio.")
            function = found["function"].replace("ǁ", ".")
            core = module.rpartition(".")[2]
            yield (
                f"{module.replace('.', '/')}.py",
                f"{core}.{function} {found['number']}",
                status,
            )


def explained(page: str) -> set[str]:
    """The mutants of which *page* says why they may live."""
    return {
        f"{row['function']} {number}"
        for row in ON_THE_PAGE.finditer(page)
        for number in row["numbers"].split(", ")
    }


def main() -> int:
    """Print what was found; 1 if the page and the results differ."""
    on_page = explained(Path(sys.argv[1]).read_text("utf-8"))
    counts: dict[str, Counter[str]] = {}
    alive: dict[str, str] = {}
    tried = set[str]()
    for module, name, status in checked(sys.stdin):
        counts.setdefault(module, Counter())[status] += 1
        tried.add(name)
        if status not in NOTICED:
            alive[name] = status
    print("| module | mutants | killed | timed out | survived |\n|---|---:|---:|---:|---:|")
    for module, count in sorted(counts.items()):
        killed, late = count["killed"], count["timeout"]
        print(
            f"| `{module}` | {count.total():,} | {killed:,} | {late} | {count.total() - killed - late} |"
        )
    told = [
        f"{status}, and not on the page: {name}"
        for name, status in alive.items()
        if name not in on_page
    ]
    told += [
        f"on the page, but noticed: {name}" for name in sorted(on_page & tried - alive.keys())
    ]
    print(*told, sep="\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
