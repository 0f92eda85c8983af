"""What must become of a random tree of shapes (`shape_trees`), said as plainly as possible.

No tasks, no clock: a function per shape that says when it ends and how, given when it begins and when somebody outside
cuts it off. A shape that cuts its own parts off looks at what they would do, and then once more at what they do if they
are cut off at that moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import attrs
from shape_trees import AtOnce, Leaf, Loop, Many, Row, Tree, named, tiny

__all__ = ["Event", "Fault", "Told", "run_of"]

Event: TypeAlias = tuple[float, str, str]
"""When, its type, and the path."""


@attrs.frozen
class Fault:
    """What failed at a path: a class and a phase, or a group with others in it."""

    path: str
    kind: str = ""
    phase: str = ""
    inner: tuple[Fault, ...] = ()

    def leaves(self) -> list[Fault]:
        return [leaf for one in self.inner for leaf in one.leaves()] if self.inner else [self]


@attrs.frozen
class Told:
    """What became of something.

    Attributes:
        end: when it was over, with everything in it.
        said: what it adds to the state if it ended well.
        faults: what failed.
        cut: whether it was cut off; something may have failed meanwhile.
        events: what was told of it; of each task in order, tasks one after the other.
        closed: what was closed.
        tasks: the paths of all branches and items, each of which is a task of its own.
        swallowed: what failed without being a failure of it, and when that was decided.
    """

    end: float
    said: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    cut: bool = False
    events: tuple[Event, ...] = ()
    closed: tuple[str, ...] = ()
    swallowed: tuple[tuple[float, Fault], ...] = ()
    tasks: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        return not self.faults and not self.cut


def run_of(tree: Tree, until: float = math.inf) -> Told:
    """A run of a flow `f` whose only step is *tree*, begun at 0 and cut off by the caller at *until*."""
    told = _row([(tree, "t")], "f", 0.0, until)
    if told.cut:
        how = "cancelled" if not told.faults else "error"
    else:
        how = "error" if told.faults else "success"
    return _with(told, [(0.0, "run_start", "f")], [(told.end, f"run_end {how}", "f")])


def _with(told: Told, before: Sequence[Event] = (), after: Sequence[Event] = ()) -> Told:
    return attrs.evolve(told, events=(*before, *told.events, *after))


# ---------------------------------------------------------------- a visit of any step


def _visit(tree: Tree, path: str, name: str, begin: float, until: float) -> Told:
    """Its work within its limit, a fallback perhaps, and what is told of it."""
    limit = math.inf if tree.limit is None else begin + tree.limit + tiny(f"{name} limit")
    told = _work(tree, path, name, begin, min(limit, until))
    faults = told.faults
    # nobody else has cut it off yet, so it was the limit
    expired = told.cut and limit <= until and told.end <= until
    if expired:
        faults = (Fault(path, "DeadlineExceededError", "exec"), *faults)
    cut = told.cut and not expired
    events: list[Event] = []
    said = told.said
    if isinstance(tree, Leaf) and tree.is_node and tree.fallback and faults and not cut:
        stands_in = all(fault.kind == "ValueError" for fault in faults)
        if stands_in:
            events.append((told.end, "fallback_used", path))
            faults, said = (), ("fallback",)
    # of a leaf the cancellation is a member of the group, too
    if len(faults) + (cut and isinstance(tree, Leaf)) > 1 and faults:
        faults = (Fault(path, inner=tuple(faults)),)
    if cut:
        events.append((told.end, "node_cancelled", path))
    elif faults:
        events.append((told.end, "node_error", path))
    else:
        events += [(told.end, "node_success", path), (told.end, "routed", path)]
    told = attrs.evolve(told, said=said, faults=faults, cut=cut)
    return _with(told, [(begin, "node_start", path)], events)


def _work(tree: Tree, path: str, name: str, begin: float, until: float) -> Told:
    match tree:
        case Leaf():
            return _leaf(tree, path, begin, until)
        case Row():
            return _row(named(name, tree.parts), path, begin, until)
        case Loop():
            return _loop(tree, path, name, begin, until)
        case AtOnce():
            parts = [
                one
                for one, out in zip(named(name, tree.parts), tree.left_out, strict=False)
                if not out
            ]
            return (_race if tree.is_race else _parallel)(parts, path, begin, until)
        case Many():
            return _many(tree, path, begin, until)


# ---------------------------------------------------------------- one thing after the other


def _leaf(leaf: Leaf, path: str, begin: float, until: float) -> Told:
    """It is cut off while it sleeps, never while it closes what it opened."""
    ends = begin + leaf.delay + tiny(path)
    cut = until < ends
    faults = [] if cut or not leaf.fails else [Fault(path, "ValueError", "exec")]
    end = min(ends, until)
    closed: tuple[str, ...] = ()
    if leaf.closes is not None:
        end += leaf.closes + tiny(f"{path} close")
        closed = (path,)
        if leaf.close_fails:
            faults.append(Fault(path, "OSError", "cleanup"))
    return Told(end, said=(path,), faults=tuple(faults), cut=cut, closed=closed)


def _row(parts: Sequence[tuple[Tree, str]], path: str, begin: float, until: float) -> Told:
    """A nested flow of *parts*, each with its rescue."""
    told = Told(begin)
    for part, name in parts:
        told = _after(told, part, name, f"{path}/{name}", until)
        if told.faults and not told.cut and _is_caught(part, told.faults[0]):
            caught = (told.end, "caught", f"{path}/{name}")
            told = _with(attrs.evolve(told, faults=()), after=[caught])
            rescue = Leaf(delay=0, fails=False)
            told = _after(told, rescue, f"{name}r", f"{path}/{name}r", until)
        if not told.well:
            break
    return _as_flow(told, path)


def _loop(loop: Loop, path: str, name: str, begin: float, until: float) -> Told:
    told = Told(begin)
    for turn in range(1, loop.times + 1):
        number = "" if turn == 1 else f"#{turn}"
        told = _after(told, loop.part, f"{name}a", f"{path}/{name}a{number}", until)
        if told.well and until < told.end:
            told = attrs.evolve(told, cut=True)
        if told.well:
            again = f"{path}/{name}again{number}"
            kinds = ("node_start", "node_success", "routed")
            told = _with(told, after=[(told.end, kind, again) for kind in kinds])
    return _as_flow(told, path)


def _after(told: Told, tree: Tree, name: str, path: str, until: float) -> Told:
    """*told* and then a visit of *tree*, unless it was over before or is cut off between the two."""
    if not told.well:
        return told
    if until < told.end:
        return attrs.evolve(told, cut=True)
    after = _visit(tree, path, name, told.end, until)
    return attrs.evolve(
        _both(told, after),
        end=after.end,
        said=told.said + (after.said if after.well else ()),
        faults=after.faults,
        cut=after.cut,
    )


def _both(*parts: Told) -> Told:
    """What all of them told, closed and swallowed."""
    return Told(
        max((one.end for one in parts), default=0.0),
        events=tuple(event for one in parts for event in one.events),
        closed=tuple(path for one in parts for path in one.closed),
        tasks=tuple(task for one in parts for task in one.tasks),
        swallowed=tuple(
            sorted((lost for one in parts for lost in one.swallowed), key=lambda lost: lost[0])
        ),
    )


def _as_flow(told: Told, path: str) -> Told:
    faults = (Fault(path, inner=told.faults),) if told.faults else ()
    return attrs.evolve(told, faults=faults)


def _is_caught(part: Tree, fault: Fault) -> bool:
    if part.caught == "values":
        return all(leaf.kind == "ValueError" for leaf in fault.leaves())
    return part.caught == "all"


# ---------------------------------------------------------------- all at once


def _parallel(parts: Sequence[tuple[Tree, str]], path: str, begin: float, until: float) -> Told:
    """All must end well; the first failure cuts the others off."""
    arms = _arms(parts, path, begin, until)
    first = min((arm.end for arm in arms if arm.faults), default=math.inf)
    arms = _arms(parts, path, begin, min(first, until))
    told = attrs.evolve(
        _joined(arms, begin, until, first),
        said=tuple(word for arm in arms for word in arm.said),
        faults=tuple(fault for arm in arms for fault in arm.faults),
    )
    return _as_flow(told, path)


def _race(parts: Sequence[tuple[Tree, str]], path: str, begin: float, until: float) -> Told:
    """One must end well, and cuts the others off."""
    arms = _arms(parts, path, begin, until)
    first = min((arm.end for arm in arms if arm.well), default=math.inf)
    arms = _arms(parts, path, begin, min(first, until))
    told = _joined(arms, begin, until, first)
    winner = next((arm for arm in arms if arm.well and arm.end == first), None)
    if winner is None and not told.cut:
        raised, lost = arms, list[Told]()
    else:
        # cut off from outside: who failed while unwinding is told by what is raised
        raised = [arm for arm in arms if told.cut and arm.end > min(first, until)]
        lost = [arm for arm in arms if arm not in raised]
    told = attrs.evolve(
        told,
        said=winner.said if winner else (),
        faults=tuple(fault for arm in raised for fault in arm.faults),
        swallowed=(
            *told.swallowed,
            *((told.end, fault) for arm in lost for fault in arm.faults),
        ),
    )
    return _as_flow(told, path)


def _arms(
    parts: Sequence[tuple[Tree, str]], path: str, begin: float, until: float
) -> list[Told]:
    arms: list[Told] = []
    for part, name in parts:
        arm = f"{path}/{name}"
        told = _visit(part, arm, name, begin, until)
        arms.append(attrs.evolve(told, tasks=(arm, *told.tasks)))
    return arms


def _joined(arms: Sequence[Told], begin: float, until: float, first: float) -> Told:
    """All of them, when all are over. Cut off from outside is what was before it cut them off itself, or while they unwound."""
    told = _both(Told(begin), *arms)
    outside = until < first or until < told.end
    return attrs.evolve(told, cut=outside and any(arm.cut for arm in arms))


# ---------------------------------------------------------------- items


def _many(tree: Many, path: str, begin: float, until: float) -> Told:
    """Workers take one part after the other; a failure that is not tolerated cuts the others off."""
    shift = _Shift(tree, path, begin, until)
    shift = _Shift(tree, path, begin, until, over=shift.first_failure())
    return shift.told()


@attrs.frozen
class _Part:
    number: int
    end: float
    cut: bool
    fails: bool


class _Shift:
    """The work on the parts if it is cut off at *until* from outside, or from inside at *over*."""

    def __init__(
        self, tree: Many, path: str, begin: float, until: float, over: float = math.inf
    ) -> None:
        self.tree, self.path, self.begin = tree, path, begin
        self.until, self.over = until, over
        self.ends = min(until, over)
        self.parts: list[_Part] = []
        self.broken = math.inf
        self.pulled = begin
        free = self._work([begin] * tree.concurrent)
        too_many, self.tolerated = self._judged()
        self.lost = too_many[0].end if too_many else math.inf
        # each worker looks once more, though nothing may be left to do, but for those that gave up
        gave_up = [part.end for part in too_many]
        late = any(self.ends < at for at in free if at not in gave_up)
        self.cut = late or any(part.cut for part in self.parts)
        self.failed = too_many
        if too_many:
            self.failed, self.tolerated = [*too_many, *self.tolerated], []

    def _work(self, free: list[float]) -> list[float]:
        """Begin one part after the other; return when workers have nothing more to do."""
        for number in range(len(self.tree.parts)):
            free.sort()
            at = free.pop(0)
            # it waits for the fold if there is one, and for the source
            begin = max(at, self._folded(number))
            if self.tree.source == "stream" and begin <= self.ends:
                begin = self._pulled(number, begin)
            if self.broken < math.inf or at == self.over:
                return free
            if self.ends < begin:
                return [*free, math.inf]
            part = self._part(number, begin)
            self.parts.append(part)
            free.append(part.end)
        return free

    def _folded(self, number: int) -> float:
        """When so many parts are in the total that the one of that *number* may begin."""
        before = number - 2 * self.tree.concurrent + 1
        if self.tree.source == "list" or before <= 0:
            return self.begin
        return max(part.end for part in self.parts[:before])

    def _pulled(self, number: int, begin: float) -> float:
        """When the stream has given the part, if somebody asks for it at *begin*; it may break."""
        at, size = max(begin, self.pulled), self.tree.size or 1
        for item in range(number * size, min(number * size + size, len(self.tree.items))):
            at += tiny(f"{self.path} source {item}")
            if item == self.tree.breaks and at <= self.ends:
                self.broken = at
        self.pulled = at
        return at

    def _part(self, number: int, begin: float) -> _Part:
        delay, fails = self.tree.parts[number]
        where = f"{self.path}[{number}]"
        ends = begin + delay + tiny(where)
        cut = self.ends < ends
        end = min(ends, self.ends)
        if self.tree.closes is not None:
            end += self.tree.closes + tiny(f"{where} close")
        return _Part(number, end, cut, fails and not cut)

    def _judged(self) -> tuple[list[_Part], list[_Part]]:
        """Which failures are too many, and which are tolerated."""
        most, count = self.tree.most, 0
        failed, tolerated = list[_Part](), list[_Part]()
        for part in sorted(self.parts, key=lambda one: one.end):
            count += len(self._items_of(part)) if part.fails else 0
            if part.fails and most is not None and count <= most:
                tolerated.append(part)
            elif part.fails:
                failed.append(part)
        return failed, tolerated

    def _items_of(self, part: _Part) -> range:
        size = self.tree.size or 1
        return range(part.number * size, min(part.number * size + size, len(self.tree.items)))

    def first_failure(self) -> float:
        return min(self.lost, self.broken)

    def told(self) -> Told:
        tree, path = self.tree, self.path
        faults = self._faults(self.failed)
        if self.broken < math.inf:
            faults.append(Fault(path, "OSError", "exec"))
        times = [self.begin, *(part.end for part in self.parts)]
        times += [self.broken] if self.broken < math.inf else []
        times += [self.ends] if self.cut else []
        end = max(times)
        closed = [f"{path}[{part.number}]" for part in self.parts if tree.closes is not None]
        if tree.source != "list":
            closed.append(f"{path} source")
        well = [part for part in self.parts if not part.fails]
        told = Told(
            end,
            said=tuple(f"{path} item {item}" for part in well for item in self._items_of(part)),
            faults=tuple(faults),
            cut=self.cut and (self.until < self.over or self.until < end),
            events=tuple(
                (part.end, "item_failed" if part.fails else "batch", f"{path}[{part.number}]")
                for part in self.parts
                if not part.cut
            ),
            closed=tuple(closed),
            tasks=tuple(f"{path}[{part.number}]" for part in self.parts),
            swallowed=tuple((end, fault) for fault in self._faults(self.tolerated)),
        )
        return _as_flow(told, path)

    def _faults(self, parts: Sequence[_Part]) -> list[Fault]:
        return [
            Fault(f"{self.path}[{part.number}]", "ValueError", "exec")
            for part in sorted(parts, key=lambda one: one.number)
        ]
