"""Installs the oldest version that pyproject.toml says will do of everything that the tests need.

tox run -e lowest. What these need themselves is as new as it can be beside them: nobody promises anything of that.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def lowest() -> Iterator[str]:
    """Each requirement, of the package, of every extra and of its tests, as the oldest version alone."""
    said = tomllib.loads(PYPROJECT.read_text())
    project, groups = said["project"], said["dependency-groups"]
    lines: list[str] = [*project["dependencies"], *groups["test"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    for line in dict.fromkeys(lines):
        requirement = Requirement(line)
        (bound,) = [one.version for one in requirement.specifier if one.operator == ">="]
        yield f"{requirement.name}=={bound}"


def main() -> None:
    """Install them into the environment that this runs in."""
    wanted = sorted(lowest())
    print(*wanted, sep="\n")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)


if __name__ == "__main__":
    main()
