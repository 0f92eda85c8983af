"""The rules of the house that no linter knows, read from the source."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

import agentflow_trio

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "agentflow_trio"

# What any module may import besides the standard library.
LIGHT: Final = {"attr", "attrs", "outcome", "trio", "typing_extensions"}
# Everything else has exactly one home: a module, or a package.
HOMES: Final = {
    "cattrs": "agentflow_trio.codec",
    "cyclopts": "agentflow_trio.cli",
    "hypothesis": "agentflow_trio.testing.strategies",
    "opentelemetry": "agentflow_trio.observe.otel",
    "prometheus_client": "agentflow_trio.observe.prometheus",
    "pytest": "agentflow_trio.testing.plugin",
    "rich": "agentflow_trio.cli",
    "sqlite3": "agentflow_trio.store.sqlite",
    "structlog": "agentflow_trio.observe.logs",
    "trio_parallel": "agentflow_trio.engine.cpu",
}
# All of the home needs it, and imports it through one module, which says how to install it.
THROUGH: Final = ["opentelemetry"]


@attrs.frozen
class Import:
    """One imported name: ``from ..state import fork`` in ``flow._flow`` is agentflow_trio.state."""

    importer: str
    line: int
    target: str

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Import]:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(name, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -(node.level - 1) or None] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from . import _step` names a module, `from ._step import Step` what is in one.
                inner = source if node.module else f"{source}.{alias.name}"
                yield Import(name, node.lineno, inner)


MODULES: Final = sorted(PACKAGE.rglob("*.py"))
IMPORTS: Final = [found for path in MODULES for found in imports(path)]
PUBLIC: Final = sorted(
    found.name
    for found in pkgutil.walk_packages(agentflow_trio.__path__, "agentflow_trio.")
    if not any(part.startswith("_") for part in found.name.split("."))
)


def told(found: list[Import]) -> str:
    return "".join(f"\n{each.importer}:{each.line} imports {each.target}" for each in found)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_an_underscore_module_is_reached_through_its_package_only() -> None:
    def trespasses(found: Import) -> bool:
        parts = found.target.split(".")
        private = next((at for at, part in enumerate(parts) if part.startswith("_")), None)
        return private is not None and not within(found.importer, ".".join(parts[:private]))

    ours = [found for found in IMPORTS if found.top == "agentflow_trio"]
    wrong = [found for found in ours if trespasses(found)]
    assert not wrong, told(wrong)
    assert len(ours) > len(PUBLIC)  # the walk above did find the imports


def test_a_heavy_import_stays_in_its_home() -> None:
    wrong = [
        found
        for found in IMPORTS
        if found.top in HOMES and not within(found.importer, HOMES[found.top])
    ]
    assert not wrong, told(wrong)


def test_nothing_else_is_imported() -> None:
    known = LIGHT | HOMES.keys() | {"agentflow_trio"} | (sys.stdlib_module_names - {"asyncio"})
    wrong = [found for found in IMPORTS if found.top not in known]
    assert not wrong, told(wrong)


def test_no_module_imports_the_root() -> None:
    """It imports everything: who asks it for a name goes round in a circle."""
    wrong = [
        found
        for found in IMPORTS
        if found.target == "agentflow_trio" and not within(found.importer, "agentflow_trio.cli")
    ]
    assert not wrong, told(wrong)


INITS: Final = [path for path in MODULES if path.name == "__init__.py"]

LAZY_PACKAGES: Final = ["engine", "flow", "observe", "redaction", "robustness", "state"]
LAZY: Final = re.compile(r"__getattr__ = lazily\(__name__, (?P<homes>.+)\)", re.DOTALL)


def lazy_halves(node: ast.If) -> tuple[dict[str, str], dict[str, str]]:
    """The submodule of each name that checkers read here, and of each that is found when asked for."""
    assert all(isinstance(each, ast.ImportFrom) for each in node.body)
    read = {
        alias.asname or alias.name: "." * each.level + (each.module or "")
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }
    (only,) = node.orelse
    given = LAZY.fullmatch(ast.unparse(only))
    assert given is not None, "the other half is `__getattr__ = lazily(__name__, ...)`"
    homes = ast.parse(given["homes"], mode="eval").body
    if isinstance(homes, ast.Call):  # dict.fromkeys([...], "...")
        assert ast.unparse(homes.func) == "dict.fromkeys"
        names, home = (ast.literal_eval(each) for each in homes.args)
        return read, {str(name): str(home) for name in names}
    return read, {str(name): str(home) for name, home in ast.literal_eval(homes).items()}


def is_lazy_form(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("path", INITS, ids=module_name)
def test_a_package_init_holds_re_exports_only(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "says what the package decides"
    for node in tree.body[1:]:
        is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        re_exports = is_all or isinstance(node, ast.ImportFrom) or is_lazy_form(node)
        assert re_exports, f"line {node.lineno}"


def test_what_checkers_read_is_what_is_found_when_asked_for() -> None:
    lazy = [
        (module_name(path), node)
        for path in INITS
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    ]
    packages = ["agentflow_trio", *(f"agentflow_trio.{each}" for each in LAZY_PACKAGES)]
    assert [name for name, _ in lazy] == packages
    for name, node in lazy:
        read, found = lazy_halves(node)
        assert read == found
        assert list(found) == sorted(found)
        assert found.keys() <= set(importlib.import_module(name).__all__)


@pytest.mark.parametrize(
    "name", ["agentflow_trio", *(f"agentflow_trio.{each}" for each in LAZY_PACKAGES)]
)
def test_a_name_that_is_not_exported_is_not_found(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nonsense'"):
        assert importlib.import_module(name).nonsense


def is_importable(name: str) -> bool:
    """Whether the extras that a module needs are installed."""
    own = {found.top for found in IMPORTS if found.importer == name}
    needed = sorted(own | {top for top in THROUGH if within(name, HOMES[top])})
    return all(importlib.util.find_spec(top) is not None for top in needed)


def test_a_module_needs_nothing_that_it_does_not_import_itself() -> None:
    """Where no extra is installed, this imports every module that is said to need none."""
    names = [module_name(path) for path in MODULES if path.name != "__main__.py"]
    for name in filter(is_importable, names):
        importlib.import_module(name)


@pytest.mark.parametrize("name", ["agentflow_trio", *filter(is_importable, PUBLIC)])
def test_what_is_exported_exists_once_and_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    names: list[str] = module.__all__
    assert len(set(names)) == len(names)
    for public in names:
        assert not public.startswith("_") or public == "__version__"
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert value.__doc__, f"{name}.{public} has no docstring"


def test_tests_that_start_programs_are_where_they_are_looked_for() -> None:
    """By ``tox run -e real``, in two folders; all in the one are such tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        marked = re.search(r"\bmark\.real\b", path.read_text(encoding="utf-8")) is not None
        assert marked or path.parent.name != "real", path
        assert not marked or path.parent.name in {"docs", "real"}, path


def test_test_files_have_names_of_their_own() -> None:
    """Test folders are no packages (importmode importlib): two equal names would be one module."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    assert not [path for path in files if path.name == "__init__.py"]
    names = [path.name for path in files if path.name.startswith("test_")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tests").rglob("*.py")),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_tests_neither_mock_nor_sleep(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.module not in {"unittest", "unittest.mock"}, f"line {node.lineno}"
        elif isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            assert not names & {"mock", "unittest", "unittest.mock"}, f"line {node.lineno}"
        elif isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "time.sleep", f"line {node.lineno}"


SILENCED: Final = re.compile(r"#\s*(type:\s*ignore|noqa|pyright:|pragma:)|\bcast\(")
NOQA: Final = re.compile(r"#\s*noqa: [A-Z]+\d+(, [A-Z]+\d+)*(?P<reason> \S)?")


def unreasoned(text: str) -> list[str]:
    """The lines that silence a checker otherwise than by a ``noqa`` with codes and a reason.

    The reason stands behind it, or in a comment of its own up to four lines above.
    """
    lines = text.splitlines()
    found: list[str] = []
    for at, line in enumerate(lines):
        if SILENCED.search(line):
            above = lines[max(at - 4, 0) : at]
            noqa = NOQA.search(line)
            told = any(each.lstrip().startswith("#") for each in above)
            if noqa is None or not (noqa["reason"] or told):
                found.append(f"{at + 1}: {line.strip()}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_check_is_silenced_without_a_reason(path: Path) -> None:
    assert unreasoned(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1  # noqa: A001 - our word", []),
        ("# our word\nx = 1  # noqa: A001, B002", []),
        ("x = 1  # noqa: A001", ["1: x = 1  # noqa: A001"]),
        ("# far\n\n\n\n\nx = 1  # noqa: A001", ["6: x = 1  # noqa: A001"]),
        ("x = 1  # noqa - any", ["1: x = 1  # noqa - any"]),
        ("x = 1  # type: ignore[arg-type]", ["1: x = 1  # type: ignore[arg-type]"]),
        ("x = cast(int, y)", ["1: x = cast(int, y)"]),
        ("forecast(y)", []),
    ],
)
def test_what_counts_as_a_reason(text: str, expected: list[str]) -> None:
    assert unreasoned(text) == expected
