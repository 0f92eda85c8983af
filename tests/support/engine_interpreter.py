"""What the run of a random flow (`engine_flows`) must tell: naive on purpose, with recursion, copies, and lists of lines."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import attrs
from engine_flows import FlowPlan, Ledger, Log, Move, Place, StepPlan

from agentflow_trio import FlowFailedError, MaxVisitsError, StepLimitError
from agentflow_trio.errors import Failure

__all__ = ["Story", "Tree", "pictured", "told_by"]


@attrs.frozen
class Tree:
    """A failure: of one place, or a group of the engine's at a path."""

    path: str
    phase: str | None = None
    error: str = ""
    kinds: tuple[type[Exception], ...] = ()
    inner: tuple[Tree, ...] = ()

    def leaves(self) -> list[Tree]:
        """The failures of single places."""
        return [leaf for one in self.inner for leaf in one.leaves()] if self.inner else [self]

    def brief(self) -> str:
        """As events tell it."""
        if not self.inner:
            name, _, text = self.error.partition(": ")
            return f"error={name} message={text}"
        return (
            f"error=FlowFailedError message={'; '.join(leaf.error for leaf in self.leaves())}"
        )

    def fits(self, kind: type[Exception]) -> bool:
        """Whether a catch of *kind* takes it."""
        leaves = [one for leaf in self.leaves() for one in leaf.kinds]
        return StepLimitError not in leaves and all(issubclass(one, kind) for one in leaves)


def pictured(error: BaseException, mark: Failure | None = None) -> Tree:
    """The failure tree of a run in the interpreter's words."""
    if isinstance(error, FlowFailedError):
        marks: Sequence[Failure | None] = error.marks
        inner = (pictured(*one) for one in zip(error.exceptions, marks, strict=True))
        return Tree(error.path, inner=tuple(inner))
    assert mark is not None
    assert isinstance(error, Exception)
    return Tree(mark.path, mark.phase, f"{type(error).__name__}: {error}", (type(error),))


@attrs.define
class Story:
    """What a run must have been.

    Attributes:
        lines: its events, as `told` writes them.
        tail: the paths of its visits.
        visits: how often each step was visited.
        words: the state at the end; None if it failed.
        exit: the way out taken.
        tree: how it failed.
        closed: what was opened and closed, in the order of closing.
    """

    lines: list[str] = attrs.field(factory=list[str])
    tail: list[str] = attrs.field(factory=list[str])
    visits: dict[str, int] = attrs.field(factory=dict[str, int])
    words: list[str] | None = None
    exit: str | None = None
    tree: Tree | None = None
    closed: list[str] = attrs.field(factory=list[str])


class _Failed(Exception):  # noqa: N818 - how the interpreter passes a failure up
    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self.tree = tree


def told_by(plan: FlowPlan, tape: Sequence[Move], max_steps: int) -> Story:
    """Interpret *plan* with *tape*."""
    return _Interpreter(tape, max_steps).story_of(plan)


class _Interpreter:
    def __init__(self, tape: Sequence[Move], max_steps: int) -> None:
        self.ledger = Ledger(tape)
        self.max_steps = max_steps
        self.story = Story()

    def story_of(self, plan: FlowPlan) -> Story:
        story = self.story
        story.lines.append(f"run_start {plan.name}")
        try:
            log, exit_ = self.flow(plan, Log(), plan.name, plan.name)
        except _Failed as failed:
            story.tree = failed.tree
            texts = "; ".join(leaf.error for leaf in failed.tree.leaves())
            end = f"outcome=error steps={len(story.tail)} error=FlowFailedError: {texts}"
        else:
            story.words, story.exit = log.words, None if exit_ == "END" else exit_
            taken = "" if story.exit is None else f"exit={exit_} "
            end = f"outcome=success {taken}steps={len(story.tail)}"
        story.lines.append(f"run_end {plan.name} {end}")
        return story

    def flow(self, plan: FlowPlan, log: Log, path: str, key: str) -> tuple[Log, str]:
        """Follow the routes; *log* is the flow's own."""
        steps = {each.name: each for each in plan.steps}
        counts = dict.fromkeys(steps, 0)
        at = plan.steps[0].name
        while at in steps:
            here = steps[at]
            self.refuse_too_many(path)
            counts[at] += 1
            visit = at if counts[at] == 1 else f"{at}#{counts[at]}"
            self.story.tail.append(f"{path}/{visit}")
            self.story.visits[f"{key}/{at}"] = self.story.visits.get(f"{key}/{at}", 0) + 1
            try:
                log, chosen = self.visit(
                    here, log, f"{path}/{visit}", f"{key}/{at}", counts[at]
                )
            except _Failed as failed:
                tree = failed.tree
                target = next((to for kind, to in here.catches if tree.fits(kind)), None)
                if target is None:
                    raise _Failed(Tree(path, inner=(tree,))) from None
                self.tell(f"caught {path}/{visit} {tree.brief()} target={_called(target)}")
                at = target
            else:
                index = here.exits.index(chosen) if chosen else 0
                taken = f"exit={chosen} " if chosen else ""
                self.tell(f"node_success {path}/{visit} {taken}".strip())
                at = here.targets[index]
                self.tell(f"routed {path}/{visit} {taken}target={_called(at)}")
        return log, at

    def refuse_too_many(self, path: str) -> None:
        if len(self.story.tail) < self.max_steps:
            return
        busiest = sorted(self.story.visits.items(), key=lambda item: (-item[1], item[0]))[:3]
        error = StepLimitError(max_steps=self.max_steps, busiest=dict(busiest))
        leaf = Tree(path, "flow", f"StepLimitError: {error}", (StepLimitError,))
        raise _Failed(Tree(path, inner=(leaf,)))

    def visit(
        self, plan: StepPlan, log: Log, path: str, key: str, number: int
    ) -> tuple[Log, str]:
        """One visit: what becomes of the state, and the exit taken."""
        self.tell(f"node_start {path}")
        if plan.max_visits is not None and number > plan.max_visits:
            error = MaxVisitsError(step=key, max_visits=plan.max_visits)
            self.fail(path, [Tree("", "prep", f"MaxVisitsError: {error}", (MaxVisitsError,))])
        if plan.inner is None:
            return self.life(plan, copy.deepcopy(log), path)
        try:
            inner, exit_ = self.flow(plan.inner, copy.deepcopy(log), path, key)
        except _Failed as failed:
            self.tell(f"node_error {path} phase=exec attempt=1 {failed.tree.brief()}")
            raise
        return inner, "" if exit_ == "END" else exit_

    def life(self, plan: StepPlan, log: Log, path: str) -> tuple[Log, str]:
        """The phases of a visit, and its cleanup."""
        serial, move = self.ledger.next_move()
        function = plan.kind == "function"
        log.words.append(f"{plan.name} {serial}" if function else f"{plan.name} {serial} prep")
        early: tuple[Place, ...] = ("prep", "post") if function else ("prep",)
        self.fail(path, _fails("exec" if function else "prep", serial, move, *early))
        failures = _fails("exec", serial, move, "exec", "exec and cleanup")
        if plan.cleans:
            self.story.closed.append(f"{plan.name} {serial}")
            failures += _fails("cleanup", serial, move, "cleanup", "exec and cleanup")
        result = "result"
        if failures and plan.fallback is not None and _tree(path, failures).fits(plan.fallback):
            told = _tree(path, failures).brief().replace("FlowFailedError", "ExceptionGroup")
            self.tell(f"fallback_used {path} guard=fallback {told}")
            failures, result = [], "fallback"
        self.fail(path, failures)
        if not function:
            log.words.append(f"{plan.name} {serial} {result}")
            self.fail(path, _fails("post", serial, move, "post"))
        return log, plan.exits[move.exit % len(plan.exits)] if plan.exits else ""

    def fail(self, path: str, failures: Sequence[Tree]) -> None:
        """End the visit if anything failed."""
        if failures:
            tree = _tree(path, failures)
            self.tell(f"node_error {path} phase={failures[0].phase} attempt=1 {tree.brief()}")
            raise _Failed(tree)

    def tell(self, line: str) -> None:
        self.story.lines.append(line)


def _called(target: str) -> str:
    return "end" if target == "END" else target


def _fails(phase: str, serial: int, move: Move, *places: Place) -> list[Tree]:
    """The failure in *phase* if the move fails at one of *places*; its path is not known yet."""
    if move.fails not in places:
        return []
    text = f"{move.error.__name__}: {serial} {move.fails}"
    return [Tree("", phase, text, (move.error,))]


def _tree(path: str, failures: Sequence[Tree]) -> Tree:
    """One failure, or the group of several, of the visit at *path*."""
    leaves = tuple(attrs.evolve(leaf, path=path) for leaf in failures)
    return leaves[0] if len(leaves) == 1 else Tree(path, inner=leaves)
