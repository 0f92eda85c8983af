"""What the tasks of a run are doing: names, await stacks, and who waits for whom.

Layer: testing. Public names of Trio only, but for the limits and shields that `_private` can tell.
"""

from __future__ import annotations

import linecache
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Final, TypeAlias, final

import trio
from trio.lowlevel import Task

from ..engine import Run
from ._errors import TaskPicture
from ._private import Frames, can_go_on, is_shielded, limit_of, made_before

__all__ = [
    "Services",
    "is_serving",
    "name_of",
    "names",
    "pictures",
    "place_of",
    "tasks_below",
    "wait_of",
    "waits_for",
]

_TRIO: Final = str(Path(trio.__file__).parent) + os.sep
_HERE: Final = str(Path(__file__).parent.parent) + os.sep

_GUARDS: Final = f"{__name__.rpartition('.testing.')[0]}.robustness."

Name: TypeAlias = Callable[[object], str]


def tasks_below(root: Task) -> list[Task]:
    """*root* and every task in a nursery of it, however deep, in the order in which they were made."""
    found = [root]
    for task in found:  # grows while it is walked
        for nursery in task.child_nurseries:
            found.extend(made_before(nursery.child_tasks))
    return made_before(found)


def name_of(task: Task) -> str:
    """The last part of its name: ``worker`` for ``myproject.jobs.main.<locals>.worker``."""
    if task.name.startswith("<"):  # Trio's own
        return task.name
    return task.name.rpartition("<locals>.")[2].rpartition(".")[2] or task.name


def names(tasks: Sequence[Task]) -> dict[Task, str]:
    """A different name for each of *tasks*: the second ``worker`` is ``worker#2``."""
    counts: Counter[str] = Counter()
    found: dict[Task, str] = {}
    for task in tasks:
        name = name_of(task)
        counts[name] += 1
        found[task] = name if counts[name] == 1 else f"{name}#{counts[name]}"
    return found


def place_of(task: Task) -> str:
    """The line of the program at which *task* stands, as ``file.py:31``; empty where there is none."""
    place = ""
    for frame, number in task.iter_await_frames():
        if not _is_ours(frame):
            place = f"{Path(frame.f_code.co_filename).name}:{number}"
    return place


@final
class Services:
    """The tasks whose timers keep nothing alive.

    Args:
        names: whole names of some, or the last parts of these.
        serving: others, which have said so themselves, and how long they may matter; what these start counts as they do.
    """

    def __init__(
        self, names: Sequence[str], serving: Mapping[object, float] = MappingProxyType({})
    ) -> None:
        self._names = names
        self._serving = serving

    @property
    def seconds(self) -> float:
        """For how long they may yet have somebody go on. Those that were named have nobody."""
        others = (time for task, time in self._serving.items() if not self._is_named(task))
        return max(others, default=0.0)

    def _is_named(self, task: object) -> bool:
        return isinstance(task, Task) and (
            task.name in self._names or name_of(task) in self._names
        )

    def __contains__(self, task: Task) -> bool:
        return self._is_named(task) or is_serving(task, self._serving)


def is_serving(task: Task, serving: Collection[object]) -> bool:
    """Whether *task* or one that it is a child of is among them."""
    above: Task | None = task
    while above is not None:
        if above in serving:
            return True
        nursery = above.parent_nursery
        above = None if nursery is None else nursery.parent_task
    return False


_NONE: Final = Services(())


def pictures(root: Task, services: Services = _NONE) -> tuple[TaskPicture, ...]:
    """What *root* and all tasks below it are doing."""
    tasks = tasks_below(root)
    known = names(tasks)
    return tuple(_picture(task, known, services) for task in tasks)


def _picture(task: Task, known: dict[Task, str], services: Services) -> TaskPicture:
    frames = list(task.iter_await_frames())
    own = [item for item in frames if not _is_ours(item[0])]
    return TaskPicture(
        name=known[task],
        waits_for=_waits_for(task, frames, known),
        stack=tuple(_line(frame, number) for frame, number in own),
        limit=limit_of(task),
        shielded=is_shielded(task),
        service=task in services,
    )


def wait_of(task: Task, known: dict[Task, str]) -> tuple[str, str]:
    """What *task* waits for, and the innermost line of the program's own at which it does; empty where there is none."""
    frames = list(task.iter_await_frames())
    own = [item for item in frames if not _is_ours(item[0])]
    return _waits_for(task, frames, known), _line(*own[-1]) if own else ""


def waits_for(task: Task, known: dict[Task, str]) -> str:
    """What *task* waits for; the same without the line, which takes half of the time."""
    return _waits_for(task, list(task.iter_await_frames()), known)


def _is_ours(frame: FrameType) -> bool:
    """Whether it is a frame of Trio or of this package, which say nothing about the program."""
    return _is_home(frame.f_code.co_filename)


@cache  # asked for each frame of each task that waits
def _is_home(file: str) -> bool:
    return file.startswith((_TRIO, _HERE))


def _line(frame: FrameType, number: int) -> str:
    code = frame.f_code
    text = linecache.getline(code.co_filename, number).strip()
    return f"{Path(code.co_filename).name}:{number} in {code.co_name}: {text}"


def _waits_for(task: Task, frames: Frames, known: dict[Task, str]) -> str:
    """The outermost call into Trio below the program's own frames, and who holds what it waits for."""
    after = _after_own(frames)
    if can_go_on(task) or not after:
        return ""
    ours = _ours_of(frames)
    if ours is not None:
        return ours
    frame = after[0][0]
    thing = frame.f_locals.get("self")
    if frame.f_code.co_qualname.startswith("NurseryManager"):
        children = [
            known.get(child, name_of(child))
            for child in made_before(task.child_nurseries[-1].child_tasks)
        ]
        return f"its children {', '.join(children)}"
    if thing is not None:
        return f"{type(thing).__name__}{_holders(thing, known)}"
    name = frame.f_code.co_name
    return _thread(after) if name == "to_thread_run_sync" else name


def _thread(frames: Frames) -> str:
    """``a thread: resize``, or one for it, of which all are at work; as a snapshot of an engine says it."""
    works_on = frames[0][0].f_locals.get("sync_fn")
    name = getattr(works_on, "__name__", type(works_on).__name__)
    in_line = [frame.f_code.co_name for frame, _ in frames[1:2]] == ["acquire_on_behalf_of"]
    return f"a free thread, for {name}" if in_line else f"a thread: {name}"


def _ours_of(frames: Frames) -> str | None:
    """``RateLimiter 'pace'``, if it is a guard of ours that keeps the task waiting, and no body behind one; or a run."""
    for frame, _ in reversed(frames):
        if not _is_ours(frame):
            return None
        thing = frame.f_locals.get("self")
        if isinstance(thing, Run):
            return f"run {thing.run_id}"
        name = getattr(thing, "name", None)
        home = str(frame.f_globals.get("__name__"))
        if isinstance(name, str) and home.startswith(_GUARDS):
            return f"{type(thing).__name__} {name!r}"
    return None


def _after_own(frames: Frames) -> Frames:
    last = max((n for n, item in enumerate(frames) if not _is_ours(item[0])), default=-1)
    return [item for item in frames[last + 1 :] if item[0].f_code.co_filename.startswith(_TRIO)]


def _holders(thing: object, known: dict[Task, str]) -> str:
    """Who holds a lock or the tokens of a limiter, as its public statistics tell."""
    statistics = getattr(thing, "statistics", None)
    if not callable(statistics):
        return ""
    told = statistics()
    owner = getattr(told, "owner", None) or getattr(
        getattr(told, "lock_statistics", None), "owner", None
    )
    if isinstance(owner, Task):
        return f" held by {known.get(owner, name_of(owner))}"
    borrowers: Sequence[object] = getattr(told, "borrowers", ())
    tasks = made_before(
        one for one in borrowers if isinstance(one, Task)
    )  # Trio has them in a set
    held = [known.get(one, name_of(one)) for one in tasks]
    return f" borrowed by {', '.join(held)}" if held else ""
