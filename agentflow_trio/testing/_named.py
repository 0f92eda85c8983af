"""From ``FILE.py:NAME`` or ``MODULE:NAME`` on a command line to the thing.

Layer: testing.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, final

from typing_extensions import override

from ._errors import SimulationError
from ._own_frames import own_traceback
from ._program import is_flow

__all__ = ["Named", "NotFoundError"]


@final
class NotFoundError(SimulationError):
    """A place on the command line names nothing that can be used.

    Attributes:
        problem: why, and what to type instead.
    """

    problem: str

    @override
    def __str__(self) -> str:
        return self.problem


@final
class Named:
    """What places name. A file is imported once, however often it is named."""

    def __init__(self) -> None:
        self._files: dict[Path, ModuleType] = {}

    def find(self, place: str, *, near: str | None = None) -> Any:  # noqa: ANN401 - whatever the user has written there
        """What *place* names; a bare name is looked up where *near* is.

        Raises:
            NotFoundError: there is no such file, module or name, or it cannot be imported.
        """
        where, name = _split(place)
        if near is not None and not where:
            where = _split(near)[0]
        elif not where:
            where, name = name, ""
        module = self._module(where)
        things: Mapping[str, object] = vars(module)
        if name not in things:
            raise NotFoundError(problem=_missing(where, name, module))
        return things[name]

    def _module(self, where: str) -> ModuleType:
        try:
            if not where.endswith(".py"):
                return importlib.import_module(where)
            path = Path(where).resolve()
            if path not in self._files:
                self._files[path] = _from_file(where, path)
            return self._files[path]
        except SimulationError:
            raise
        except ModuleNotFoundError as error:
            if error.name is not None and f"{where}.".startswith(f"{error.name}."):
                raise NotFoundError(problem=_no_module(where)) from None
            raise _broken(where, error) from None
        except Exception as error:  # noqa: BLE001 - whatever a module raises is to be seen as its author wants it
            raise _broken(where, error) from None


def _no_module(where: str) -> str:
    if Path(f"{where}.py").is_file():
        return f"there is no module {where}, but a file: type {where}.py:NAME"
    return f"there is no module {where}; type FILE.py:NAME or MODULE:NAME"


def _broken(where: str, error: Exception) -> NotFoundError:
    return NotFoundError(problem=f"{where} cannot be imported\n{own_traceback(error).rstrip()}")


def _split(place: str) -> tuple[str, str]:
    """The file or module, and the name; either may be empty."""
    where, _, name = (place, "", "") if place.endswith(".py") else place.rpartition(":")
    return where, name


def _missing(where: str, name: str, module: ModuleType) -> str:
    own = [
        known
        for known, thing in vars(module).items()
        if is_flow(thing)
        or (inspect.iscoroutinefunction(thing) and thing.__module__ == module.__name__)
    ]
    listed = f"; there are: {', '.join(f'{where}:{known}' for known in own)}" if own else ""
    if not name:
        return f"say which function of {where} is meant, as {where}:NAME{listed}"
    guess = _did_you_mean(name, vars(module))
    return f"there is no {name!r} in {where}{guess or listed}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _from_file(where: str, path: Path) -> ModuleType:
    """Import a file: as part of its package if it is in one, else by a name that hides no other module."""
    if not path.is_file():
        others = _did_you_mean(path.name, (file.name for file in path.parent.glob("*.py")))
        raise NotFoundError(problem=f"there is no file {where}{others}")
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    sys.path.insert(0, str(folder))
    if len(names) > 1:
        return importlib.import_module(".".join(names))
    name = path.stem
    while name in sys.modules or name in sys.stdlib_module_names:
        name += "_"
    loader = SourceFileLoader(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module
