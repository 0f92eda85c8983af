"""From ``module:flow`` or ``file.py:flow`` on the command line to the flow.

Layer: cli. Rule: an error in somebody's module is shown with their own lines, not with ours.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, final

import attrs

from ..errors import DefinitionError
from ..flow import Flow
from ._exit import UsageError

__all__ = [
    "Target",
    "did_you_mean",
    "find_flow",
    "find_module",
    "flows_in",
    "names_beside",
    "readable_errors",
    "shown",
    "user_frames",
]


@final
@attrs.frozen
class Target:
    """What a command is about.

    Attributes:
        place: a module's dotted name, or the path of a file that ends in ``.py``.
        flow: the name of the flow in it; empty if none was given.
    """

    place: str
    flow: str = ""

    @classmethod
    def parse(cls, text: str) -> Target:
        """Split *text* at its last colon, unless that is part of the path."""
        place, colon, flow = text.rpartition(":")
        return cls(place, flow) if colon and not text.endswith(".py") else cls(text)


def find_flow(text: str) -> Flow[Any, ...]:
    """Import what *text* names and return its flow.

    Raises:
        UsageError: there is no such module or flow, it cannot be imported, or it is not clear which flow is meant.
    """
    target = Target.parse(text)
    with readable_errors(target):
        module = importlib.import_module(find_module(target).name)
    flows = flows_in(module)
    if target.flow:
        return _named(module, flows, target)
    if not flows:
        raise UsageError(
            problem=f"there is no flow in {target.place}", hint="A flow is made with @flow."
        )
    if len(flows) > 1:
        raise UsageError(
            problem=f"{target.place} has {len(flows)} flows; say which one:",
            details=tuple(f"{target.place}:{name}" for name in flows),
        )
    return next(iter(flows.values()))


def names_beside(text: str) -> Mapping[str, Any]:
    """Everything in the module of the target *text*, which `find_flow` has imported."""
    return vars(importlib.import_module(find_module(Target.parse(text)).name))


def flows_in(module: ModuleType) -> dict[str, Flow[Any, ...]]:
    """The flows of *module*, each by the first name it has there, in the order written."""
    found: dict[str, Flow[Any, ...]] = {}
    for name, flow in _all_flows(module).items():
        if not any(flow is other for other in found.values()):
            found[name] = flow
    return found


def _all_flows(module: ModuleType) -> dict[str, Flow[Any, ...]]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Flow)}


def _named(
    module: ModuleType, flows: dict[str, Flow[Any, ...]], target: Target
) -> Flow[Any, ...]:
    flow = _all_flows(module).get(target.flow)
    if flow is not None:
        return flow
    value: object = vars(module).get(target.flow)
    if value is None:
        problem = (
            f"there is no {target.flow!r} in {target.place}{did_you_mean(target.flow, flows)}"
        )
    else:
        problem = f"{target.flow!r} in {target.place} is a {type(value).__name__}, not a flow"
    raise UsageError(problem=problem, details=tuple(f"{target.place}:{name}" for name in flows))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the name in *known* that is most like *name*, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


# ---------------------------------------------------------------- finding modules


def find_module(target: Target) -> ModuleSpec:
    """Find the module or file of *target*. Its folder (for a module: the current one) is put first on ``sys.path``.

    Raises:
        UsageError: it is not there.
    """
    importlib.invalidate_caches()
    if not target.place.endswith(".py"):
        return _find_dotted(target.place)
    file = Path(target.place)
    if not file.is_file():
        near = did_you_mean(file.name, sorted(other.name for other in file.parent.glob("*.py")))
        raise UsageError(problem=f"there is no file {file}{near}")
    _put_on_path(file.resolve().parent)
    found = None if "." in file.stem else importlib.util.find_spec(file.stem)
    if found is None or Path(found.origin or "").resolve() != file.resolve():
        raise UsageError(
            problem=f"{file} cannot be imported as {file.stem!r}",
            details=(f"that name belongs to {found.origin}",) if found else (),
            hint="Rename the file.",
        )
    return found


def _find_dotted(name: str) -> ModuleSpec:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(problem=f"{name!r} is neither a module nor a .py file")
    _put_on_path(Path.cwd())
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError as missing:
        if not f"{name}.".startswith(f"{missing.name}."):
            raise
        found = None
    if found is None:
        near = did_you_mean(name, sorted(file.stem for file in Path.cwd().glob("*.py")))
        raise UsageError(problem=f"there is no module {name!r}{near}")
    return found


def _put_on_path(folder: Path) -> None:
    sys.path[:] = [str(folder), *(place for place in sys.path if place != str(folder))]


# ---------------------------------------------------------------- other people's errors


@contextlib.contextmanager
def readable_errors(target: Target) -> Generator[None]:
    """Turn whatever a module raises while it is imported into an error that shows the user's own lines."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        hint = (
            f"agentflow check {target.place}  lists every mistake."
            if isinstance(error, DefinitionError)
            else ""
        )
        problem = f"{target.place} cannot be imported:"
        raise UsageError(problem=problem, details=tuple(_told(error)), hint=hint) from error


def _told(error: BaseException) -> Iterator[str]:
    for frame in user_frames(error)[-5:]:
        yield f"{shown(frame.filename)}:{frame.lineno}, in {frame.name}"
        yield f"    {frame.line}"
    for line in traceback.format_exception_only(error):
        yield from line.splitlines()


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Where *error* passed through code that is neither ours nor installed, outermost first."""
    paths = sysconfig.get_paths()
    others = (
        "<",
        str(Path(__file__).parents[1]),
        *(paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")),
    )
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(others)
    ]


def shown(file: str) -> str:
    """*file* as short as it can be said here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
