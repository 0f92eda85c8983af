"""Errors a program can use: fields for code, one sentence for people; copies and pickles keep both.

Layer: above types. Every error of this package is an `AgentFlowError` or a group of what nodes raised.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Self,
    dataclass_transform,
    final,
    overload,
)

import attrs

from ._lazy import lazily
from ._typing import TypeIs, TypeVar, override

if TYPE_CHECKING:
    from ._records import AbandonedThread, CutOff, Failure, Mismatch
else:  # 1.5 ms; what ends well has no use for them
    __getattr__ = lazily(
        __name__,
        {
            "AbandonedThread": "agentflow_trio._records",
            "CutOff": "agentflow_trio._records",
            "Failure": "agentflow_trio._records",
            "Mismatch": "agentflow_trio._records",
        },
    )

__all__ = [
    "AbandonedThread",
    "AbandonedThreadWarning",
    "AgentFlowError",
    "BranchCancelledError",
    "BulkheadFullError",
    "CircuitOpenError",
    "CleanupOverrunError",
    "CodecError",
    "CutOff",
    "DeadlineExceededError",
    "DefinitionError",
    "EngineClosedError",
    "ExtraMissingError",
    "Failure",
    "FlowAbortedError",
    "FlowDefinitionError",
    "FlowFailedError",
    "GuardInUseError",
    "GuardMisuseError",
    "GuardReentryError",
    "LaggedError",
    "LimitReachedError",
    "LoadFailedError",
    "LoadShedError",
    "MaxVisitsError",
    "MergeConflictError",
    "Mismatch",
    "NoBranchError",
    "NoStepError",
    "NotAwaitableError",
    "NotPicklableError",
    "PipelineDefinitionError",
    "PoolClosedError",
    "PoolExhaustedError",
    "Problem",
    "RateLimitedError",
    "RejectedError",
    "ResourceError",
    "RunCancelledError",
    "SelfWaitError",
    "StateForkError",
    "StateKeyError",
    "StateTypeError",
    "StepDefinitionError",
    "StepEndedError",
    "StepLimitError",
    "TooManyRunsError",
    "UnknownBranchError",
    "WorkerDiedError",
    "WrongExitError",
    "WrongItemsError",
    "WrongOutputsError",
    "is_failed",
    "is_tree",
    "members_of",
    "text_of",
]


_NOTHING: Mapping[str, float] = {}


def _rebuild(
    kind: type[AgentFlowError], fields: Mapping[str, Any], extra: Mapping[str, Any]
) -> AgentFlowError:
    error = kind(**fields)
    error.__dict__.update(extra)
    return error


@dataclass_transform(eq_default=False, kw_only_default=True)
class AgentFlowError(Exception):
    """Base of every single error raised by agentflow_trio. Survives ``copy`` and ``pickle`` with fields and notes.

    A subclass annotates its fields, with or without a default, and says them in ``__str__``. They are keyword
    arguments, as with attrs; generating 20 classes with attrs would double the time it takes to import this package.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    @override
    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = inspect.get_annotations(cls)
        cls.fields = (
            *cls.fields,
            *(
                name
                for name, kind in own.items()
                if "ClassVar" not in str(kind) and name not in cls.fields
            ),
        )

    def __init__(self, **fields: object) -> None:
        """Make an error of its fields.

        Raises:
            TypeError: a field is missing or unknown.
        """
        super().__init__()
        for name in fields:
            if name not in self.fields:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
        for name in self.fields:
            if name not in fields and not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} needs {name!r}")
        self.__dict__.update(fields)

    @override
    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.fields)
        return f"{type(self).__name__}({fields})"

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in self.fields}
        extra = {name: value for name, value in self.__dict__.items() if name not in fields}
        return _rebuild, (type(self), fields, extra)


# ---------------------------------------------------------------- definition


@final
@attrs.frozen
class Problem:
    """One mistake in a definition.

    Attributes:
        code: a stable word for it (``wired_twice``).
        step: the step it is about; empty when it is about the whole flow.
        sentence: what is wrong.
        hint: what to do about it; may be empty.
    """

    code: str
    step: str
    sentence: str
    hint: str = ""

    @override
    def __str__(self) -> str:
        return f"{self.sentence}: {self.hint}" if self.hint else self.sentence


class DefinitionError(AgentFlowError):
    """A definition is wrong. Nothing was run.

    Attributes:
        name: the flow or step that was being defined.
        problems: every mistake found, in the order written.
    """

    name: str
    problems: tuple[Problem, ...]
    what: ClassVar[str] = "definition"

    @override
    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"{self.what} {self.name!r}: {self.problems[0]}"
        lines = "".join(
            f"\n  {number}. {problem}" for number, problem in enumerate(self.problems, 1)
        )
        return f"{self.what} {self.name!r} has {len(self.problems)} problems:{lines}"


@final
class StepDefinitionError(DefinitionError):
    """A node cannot be made a step, or a policy of the step makes no sense."""

    what: ClassVar[str] = "step"


@final
class FlowDefinitionError(DefinitionError):
    """A flow is wired wrongly; all its mistakes together."""

    what: ClassVar[str] = "flow"


@final
class PipelineDefinitionError(DefinitionError):
    """Guards were composed in a way that makes no sense; all mistakes together."""

    what: ClassVar[str] = "pipeline"


# ---------------------------------------------------------------- state


@final
class StateTypeError(AgentFlowError, TypeError):
    """The shared state is not of a class that can be forked and merged.

    Attributes:
        got: the class that was given.
        remedy: what to do.
    """

    got: str
    remedy: str = "define it with @attrs.define"

    @override
    def __str__(self) -> str:
        return f"the shared state must be an attrs class, not {self.got}; {self.remedy}"


@final
class StateForkError(AgentFlowError, TypeError):
    """A value in the state can be neither shared nor copied.

    Attributes:
        field: where it is, as ``Article.client``.
        got: the class of the value.
        reason: what copying it raised.
    """

    field: str
    got: str
    reason: str

    @override
    def __str__(self) -> str:
        return (
            f"{self.field} holds a {self.got}, which cannot be copied ({self.reason}); "
            "lend it to steps as a Resource, or keep a frozen value here"
        )


@final
class MergeConflictError(AgentFlowError):
    """Concurrent branches wrote one field in a way that cannot be put together. Nothing was merged.

    Attributes:
        field: the field (or key), as ``Article.draft``.
        branches: who wrote it, in declared order.
        reason: what the field's rule has against it; empty if there is no rule.
    """

    field: str
    branches: tuple[str, ...]
    reason: str = ""

    @override
    def __str__(self) -> str:
        both = f"{self.field} was changed by {' and '.join(self.branches)} at once"
        if self.reason:
            return f"{both}, and its rule refuses: {self.reason}"
        rule = (
            "give it a rule, as in field(metadata=merged_by(added)), or let one of them write"
        )
        return f"{both}; {rule}"


@final
class StateKeyError(AgentFlowError, KeyError):
    """A `SharedState` has no value under this key.

    Attributes:
        key: the name asked for.
        near: names that are there and look alike.
    """

    key: str
    near: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        meant = f"; did you mean {' or '.join(map(repr, self.near))}?" if self.near else ""
        return f"the shared state has no {self.key!r}{meant}"


@final
class CodecError(AgentFlowError, ValueError):
    """Data does not fit the type it is read as, or a value cannot be written.

    Attributes:
        kind: the type.
        mismatches: every place that does not fit.
    """

    kind: str
    mismatches: tuple[Mismatch, ...]

    @override
    def __str__(self) -> str:
        if len(self.mismatches) == 1:
            return f"not a valid {self.kind}: {self.mismatches[0]}"
        return f"not a valid {self.kind}:" + "".join(
            f"\n  {mismatch}" for mismatch in self.mismatches
        )


# ---------------------------------------------------------------- running


@final
class WrongExitError(AgentFlowError):
    """A ``post`` returned something that is not one of its exits.

    Attributes:
        step: the step.
        returned: what came back.
        exits: the names of its exits; empty for a step without.
    """

    step: str
    returned: str
    exits: tuple[str, ...]

    @override
    def __str__(self) -> str:
        if not self.exits:
            return f"step {self.step!r} has no exits but returned {self.returned}; let it return None"
        return f"step {self.step!r} returned {self.returned}, which is not one of its exits: {', '.join(self.exits)}"


@final
class NoBranchError(AgentFlowError):
    """A race in which no branch took part, because none wanted to.

    Attributes:
        step: the race.
    """

    step: str

    @override
    def __str__(self) -> str:
        return f"no branch of the race {self.step!r} runs: when() of each said no; let one always run"


@final
class WrongItemsError(AgentFlowError, TypeError):
    """The ``prep`` of an ``each`` or ``batch`` returned something else than items.

    Attributes:
        step: the step.
        returned: the class of what it returned.
        expected: what it should have been.
    """

    step: str
    returned: str
    expected: str

    @override
    def __str__(self) -> str:
        return f"prep of step {self.step!r} returned {self.returned}, not {self.expected}"


@final
class WrongOutputsError(AgentFlowError):
    """The ``exec`` of a ``batch`` did not return one output for each item.

    Attributes:
        step: the step.
        items: how many it got.
        returned: how many it returned, or the class of what it returned instead.
    """

    step: str
    items: int
    returned: str

    @override
    def __str__(self) -> str:
        got = f"exec of step {self.step!r} got {self.items} items and returned {self.returned}"
        return f"{got}; return one output for each, in the same order"


@final
class NotAwaitableError(AgentFlowError, TypeError):
    """A phase returned something that cannot be awaited.

    Attributes:
        step: the step.
        phase: which of its phases.
        returned: the class of what came back.
    """

    step: str
    phase: str
    returned: str

    @override
    def __str__(self) -> str:
        gave = f"{self.phase} of step {self.step!r} gave nothing to await ({self.returned})"
        return f"{gave}; write 'async def {self.phase}'"


@final
class DeadlineExceededError(AgentFlowError):
    """A named time limit ran out.

    Attributes:
        limit: which, as ``timeout of editorial/write`` or ``timeout of the run``.
        seconds: how long it was.
        spent: who used the time: path without visit numbers -> seconds, most first. Branches and items at once may
            have used more than there was; of thousands of items those that took most are kept.
        earlier: limits inside that had run out before, while what they cut off was still being cleaned up.
    """

    limit: str
    seconds: float
    spent: Mapping[str, float] = _NOTHING
    earlier: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        who = [f"{path} {seconds:.3g} s" for path, seconds in list(self.spent.items())[:3]]
        spent = f"; spent: {', '.join(who)}" if who else ""
        before = f", after {' and '.join(self.earlier)}" if self.earlier else ""
        return f"{self.limit} ({self.seconds:g} s) ran out{before}{spent}"


@final
class MaxVisitsError(AgentFlowError):
    """A step was about to be visited more often than its ``max_visits``.

    Attributes:
        step: its path.
        max_visits: the bound.
    """

    step: str
    max_visits: int

    @override
    def __str__(self) -> str:
        more = f"{self.step} would be visited more than max_visits={self.max_visits} times"
        return f"{more}; raise it, or look at who routes back"


@final
class StepLimitError(AgentFlowError):
    """The run made more steps than it was allowed. Never routed by ``.catch``.

    Attributes:
        max_steps: the bound.
        busiest: the most visited steps, path -> visits.
    """

    max_steps: int
    busiest: Mapping[str, int]

    @override
    def __str__(self) -> str:
        busiest = ", ".join(
            f"{path} ({visits} visits)" for path, visits in self.busiest.items()
        )
        return f"the run reached max_steps={self.max_steps}; busiest: {busiest}"


@final
class CleanupOverrunError(AgentFlowError):
    """A cleanup did not end within the run's ``cleanup_grace``.

    Attributes:
        path: the step that registered it.
        callback: what was being called.
        grace: the budget in seconds.
        stack: where it stood when the budget ran out, outermost first; empty if it could not be read.
    """

    path: str
    callback: str
    grace: float
    stack: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        where = f" at {self.stack[-1]}" if self.stack else ""
        return (
            f"cleanup {self.callback} of {self.path} did not end within {self.grace:g} s{where}"
        )


@final
class ResourceError(AgentFlowError, LookupError):
    """A step and the engine do not agree on a resource.

    Attributes:
        resource: its name.
        step: the step that wants it; empty if none.
        reason: what is wrong and what to do.
    """

    resource: str
    step: str
    reason: str

    @override
    def __str__(self) -> str:
        return f"resource {self.resource!r}{f' of step {self.step!r}' if self.step else ''}: {self.reason}"


@final
class NoStepError(AgentFlowError, RuntimeError):
    """A step's context was asked for, or used, where no step is running.

    Attributes:
        reason: what does not work here, and where it does.
    """

    reason: str = "no step is running here; current_step() works inside a step's phases and the tasks they wait for"

    @override
    def __str__(self) -> str:
        return self.reason


@final
class StepEndedError(AgentFlowError, RuntimeError):
    """A step's context was used after its visit.

    Attributes:
        path: the visit it belonged to.
    """

    path: str

    @override
    def __str__(self) -> str:
        return f"the visit of {self.path} is over; ask current_step() again in each visit"


@final
class SelfWaitError(AgentFlowError, RuntimeError):
    """A run was asked to wait for its own end.

    Attributes:
        run_id: the run.
        instead: what to call there.
    """

    run_id: str
    instead: str = "request_cancel()"

    @override
    def __str__(self) -> str:
        return (
            f"run {self.run_id} cannot wait for itself; use {self.instead}, which does not wait"
        )


@final
class EngineClosedError(AgentFlowError, RuntimeError):
    """The engine was used before it was entered or after it was left, or entered twice.

    Attributes:
        reason: what is wrong and what to do.
    """

    reason: str = "this engine is not open; use it inside 'async with Engine(...) as engine:'"

    @override
    def __str__(self) -> str:
        return self.reason


@final
class TooManyRunsError(AgentFlowError):
    """The engine already runs as many flows as it may.

    Attributes:
        max_runs: the bound.
    """

    max_runs: int

    @override
    def __str__(self) -> str:
        return f"the engine already has {self.max_runs} runs, its max_runs"


@final
class LaggedError(AgentFlowError):
    """A subscriber with ``when_full="fail"`` did not keep up.

    Attributes:
        missed: how many events did not fit.
    """

    missed: int

    @override
    def __str__(self) -> str:
        return f"the subscriber fell behind and missed {self.missed} events; read faster, or use when_full='drop_oldest'"


@final
class AbandonedThreadWarning(RuntimeWarning):
    """Threads were abandoned and still work, and nobody but this warning would say so."""


@final
class ExtraMissingError(AgentFlowError, ImportError):
    """Something was asked for that an extra of the package brings, which is not installed.

    Attributes:
        what: what was asked for.
        extra: the extra.
    """

    what: str
    extra: str

    @override
    def __str__(self) -> str:
        return f'{self.what} needs an extra; run  pip install "agentflow_trio[{self.extra}]"'


@final
class NotPicklableError(AgentFlowError, TypeError):
    """Something cannot be passed to another process, or back.

    Attributes:
        function: the function that was to be called there.
        what: what cannot be passed.
        reason: what the attempt raised.
    """

    function: str
    what: str
    reason: str

    @override
    def __str__(self) -> str:
        return (
            f"to_process({self.function}): {self.what} cannot be passed between processes ({self.reason}); "
            "call a function of a module, with arguments and a result that pickle can copy, or use to_thread()"
        )


@final
class WorkerDiedError(AgentFlowError):
    """A worker process ended otherwise than it should: it crashed, was killed, or did not end when told to.

    Attributes:
        function: what it was calling; empty if it was idle.
        exit_code: of the process, negative for a signal; None if it is not known.
    """

    function: str
    exit_code: int | None

    @override
    def __str__(self) -> str:
        who = (
            f"the process that called {self.function}"
            if self.function
            else "an idle worker process"
        )
        if self.exit_code is not None and self.exit_code < 0:
            return f"{who} died of signal {-self.exit_code}; a crash in C code or a lack of memory may be why"
        hint = "does the program that was started say  if __name__ == '__main__':  ?"
        return f"{who} died (exit code {self.exit_code}); {hint}"


@final
class RunCancelledError(AgentFlowError):
    """The run was cancelled through its handle.

    Attributes:
        reason: what the caller of ``cancel`` said.
        cut_off: the steps that were running, outermost first.
    """

    reason: str
    cut_off: tuple[CutOff, ...] = ()

    @override
    def __str__(self) -> str:
        where = f" in {self.cut_off[-1].path}" if self.cut_off else ""
        return f"the run was cancelled{where}: {self.reason}"


@final
class BranchCancelledError(AgentFlowError):
    """A branch, or an item of ``each`` or ``batch``, was cancelled by its path.

    Of ``parallel`` the others go on and this is in ``RunResult.suppressed``; in a ``race`` it has lost; an item has failed.

    Attributes:
        path: the branch or item.
        reason: what the caller of ``cancel`` said.
    """

    path: str
    reason: str

    @override
    def __str__(self) -> str:
        return f"{self.path} was cancelled: {self.reason}"


@final
class UnknownBranchError(AgentFlowError, LookupError):
    """No branch or item is going on at the path that was to be cancelled.

    Attributes:
        path: what was asked for.
        near: similar paths at which one is.
        live: how many branches and items are going on.
    """

    path: str
    near: tuple[str, ...]
    live: int

    @override
    def __str__(self) -> str:
        going_on = f"near it: {', '.join(self.near)}" if self.near else f"{self.live} elsewhere"
        return (
            f"no branch or item is going on at {self.path!r} ({going_on}); only branches of parallel and race, as "
            f"'digest/all/news', and items of each and batch, as 'digest/condense[17]', can be cancelled by path, not "
            f"steps or nested flows; without at= the whole run is"
        )


# ---------------------------------------------------------------- guards


class RejectedError(AgentFlowError):
    """A guard did not let the body run. No verdict of any guard, and not retried unless asked.

    Attributes:
        guard: the name of the guard.
        reason: a stable word for why.
        retry_after: seconds until it is worth another try; None if nobody can tell.
    """

    guard: str
    reason: str
    if TYPE_CHECKING:
        retry_after: float | None = None
    else:
        retry_after: float | None
        # Rejecting has to be cheap, and a dict for them would be a quarter of making one.
        __slots__ = ("guard", "reason", "retry_after")

    what: ClassVar[str] = "guard"
    says: ClassVar[Mapping[str, str]] = {}
    """What a reason is in a sentence; a reason that is not here stands for itself."""

    # Written out: the general way takes three times as long.
    def __init__(self, *, guard: str, reason: str, retry_after: float | None = None) -> None:
        """Make a rejection of its fields."""
        self.guard = guard
        self.reason = reason
        self.retry_after = retry_after

    @override
    def __str__(self) -> str:
        again = "" if self.retry_after is None else f"; retry in {self.retry_after:g} s"
        return f"{self.what} {self.guard!r} {self.says.get(self.reason, self.reason)}{again}"


@final
class CircuitOpenError(RejectedError):
    """A circuit breaker is not closed.

    Reasons: ``open``; ``half_open`` (all probes are out, ``retry_after`` None); ``isolated`` (until it is closed by
    hand, ``retry_after`` None).
    """

    what: ClassVar[str] = "circuit"
    says: ClassVar[Mapping[str, str]] = {
        "open": "is open",
        "half_open": "is half-open and its probes are out",
        "isolated": "is isolated until it is closed by hand",
    }


@final
class RateLimitedError(RejectedError):
    """A rate limiter has no room.

    Reasons: ``full``; ``max_wait`` and ``deadline`` (the wait would be longer than the caller may wait); ``queue`` (too
    many wait already); ``lowered`` (the limit was lowered while the caller waited, so that now one of these holds).
    """

    what: ClassVar[str] = "rate limiter"
    says: ClassVar[Mapping[str, str]] = {
        "full": "has no room now",
        "max_wait": "has no room within max_wait",
        "deadline": "has no room before the caller's deadline",
        "queue": "has too many waiting",
        "lowered": "can no longer serve this waiter, for its limit was lowered",
    }


@final
class BulkheadFullError(RejectedError):
    """A bulkhead has as many bodies inside as it may.

    Reasons: ``full``; ``max_wait`` (the caller waited that long in vain); ``queue`` (too many wait already).
    """

    what: ClassVar[str] = "bulkhead"
    says: ClassVar[Mapping[str, str]] = {
        "full": "is full",
        "max_wait": "stayed full for max_wait",
        "queue": "is full and has too many waiting",
    }


@final
class PoolExhaustedError(RejectedError):
    """A pool has nothing to lend.

    Reasons: ``idle`` (nothing lay ready, and the caller did not wait for something to be made); ``max_wait`` (the
    caller waited that long in vain); ``queue`` (too many wait already).
    """

    what: ClassVar[str] = "pool"
    says: ClassVar[Mapping[str, str]] = {
        "idle": "has nothing idle",
        "max_wait": "got nothing back within max_wait",
        "queue": "has lent everything and has too many waiting",
    }


@final
class LimitReachedError(RejectedError):
    """An adaptive limit has as many bodies inside as it may, for now.

    Reasons: ``full``; ``max_wait`` (the caller waited that long in vain); ``queue`` (too many wait already).
    """

    what: ClassVar[str] = "limit"
    says: ClassVar[Mapping[str, str]] = {
        "full": "is reached",
        "max_wait": "stayed reached for max_wait",
        "queue": "is reached and has too many waiting",
    }


@final
class LoadShedError(RejectedError):
    """There is too much to do already. Reason: ``load``."""

    what: ClassVar[str] = "load shedder"
    says: ClassVar[Mapping[str, str]] = {"load": "sheds load"}


class GuardMisuseError(AgentFlowError, RuntimeError):
    """A guard was used in a way that cannot be right. Nothing was changed.

    Attributes:
        guard: the name of the guard.
        reason: what is wrong and what to do.
    """

    guard: str
    reason: str

    @override
    def __str__(self) -> str:
        return f"guard {self.guard!r}: {self.reason}"


@final
class GuardInUseError(GuardMisuseError):
    """A guard was used under two runs of Trio at once."""

    reason: str = "it is in use under another run of Trio; give each run a guard of its own"


@final
class GuardReentryError(GuardMisuseError):
    """A guard that holds places was entered inside its own body, where it would wait for itself."""

    reason: str = "it was entered inside its own body; it would wait for itself: leave it first, or use another"


@final
class LoadFailedError(AgentFlowError):
    """A load that several callers shared failed. Who loaded has the error itself; each who waited has one of these.

    The error is its ``__cause__``, by which guards, `classify` and the ``.catch`` of a step judge: to them both are alike.

    Attributes:
        guard: the name of what loads. The key is not told, for it may be secret.
    """

    guard: str

    @override
    def __str__(self) -> str:
        return f"guard {self.guard!r}: the load that this caller shared failed; its error is the cause"


@final
class PoolClosedError(AgentFlowError, RuntimeError):
    """A pool was asked for an object when it was not open.

    Attributes:
        pool: its name.
    """

    pool: str

    @override
    def __str__(self) -> str:
        return f"pool {self.pool!r} is not open; use it inside 'async with open_pool(...) as pool:'"


# ---------------------------------------------------------------- what run() raises


Error = TypeVar("Error", bound=Exception)
BaseError = TypeVar("BaseError", bound=BaseException)
Leaf_co = TypeVar("Leaf_co", bound=Exception, default=Exception, covariant=True)
BaseLeaf_co = TypeVar("BaseLeaf_co", bound=BaseException, default=BaseException, covariant=True)


class _Tree:
    """What both failure groups know: their path, the state, and for each member its `Failure` (None for a subgroup)."""

    path: str = ""
    state: object = None
    marks: tuple[Failure | None, ...] = ()
    suppressed: tuple[Exception, ...] = ()
    redact: Callable[[str], str] = staticmethod(str)
    """What the engine hands over to take out of `report` what must not be shown."""

    @property
    def without_secrets(self) -> dict[str, Any]:
        """What a pickle keeps beside the members: not a state with anything sensitive, which is plain in a pickle."""
        hiding = getattr(self.redact, "hidden", None) is not None
        return {**self.__dict__, "state": None} if hiding else self.__dict__

    def take_from(
        self, tree: BaseExceptionGroup[BaseException], ours: Sequence[BaseException]
    ) -> None:
        """Be the part *ours* of *tree*: with its path and state, and the marks of these members."""
        if isinstance(tree, _Tree):
            self.path, self.state, self.suppressed = tree.path, tree.state, tree.suppressed
            self.redact = tree.redact
        known = list(zip(tree.exceptions, _marks(tree), strict=True))
        self.marks = tuple(_mark_of(error, known) for error in ours)


def _mark_of(
    error: BaseException, known: Sequence[tuple[BaseException, Failure | None]]
) -> Failure | None:
    """The mark of *error*, or of the group that it is a part of: splitting makes new objects of all groups."""
    for one, mark in known:
        if one is error:
            return mark
    leaves = [id(leaf) for leaf in _plain_leaves(error)]
    for one, mark in known:
        if leaves[0] in [id(leaf) for leaf in _plain_leaves(one)]:
            return mark
    return None


def _is_group(error: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    return isinstance(error, BaseExceptionGroup)


def _plain_leaves(error: BaseException) -> Iterator[BaseException]:
    if _is_group(error):
        for member in error.exceptions:
            yield from _plain_leaves(member)
    else:
        yield error


def _entries(
    group: BaseExceptionGroup[BaseException],
) -> Iterator[tuple[BaseException, Failure | None]]:
    for error, mark in zip(group.exceptions, _marks(group), strict=True):
        if mark is None and is_tree(error):
            yield from _entries(error)
        else:
            yield error, mark


def is_tree(error: BaseException) -> TypeIs[BaseExceptionGroup[BaseException]]:
    """Whether *error* is a group made by a run, of failures alone or with what ended it."""
    return isinstance(error, _Tree)


def members_of(
    error: BaseException,
) -> Sequence[tuple[BaseException, Failure | None]] | None:
    """What a group made by a run holds, each with where it arose; None of any other error."""
    if not is_tree(error):
        return None
    return list(zip(error.exceptions, _marks(error), strict=True))


def text_of(error: BaseException) -> str:
    """The text of *error*, as ``str`` makes it; empty if that raises, for who tells of an error must not fail over it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error without a text is an error all the same
        return ""


def is_failed(error: BaseException | None) -> TypeIs[FlowFailedError[Exception]]:
    """Whether *error* is a failure tree; ``isinstance`` alone leaves checkers without its leaf type."""
    return isinstance(error, FlowFailedError)


def _marks(group: BaseExceptionGroup[BaseException]) -> tuple[Failure | None, ...]:
    marks = group.marks if isinstance(group, _Tree) else ()
    return marks or (None,) * len(group.exceptions)


def _report(group: BaseExceptionGroup[BaseException]) -> str:
    entries = list(_entries(group))
    redact = group.redact if isinstance(group, _Tree) else str
    lines = [f"{group.message}: {len(entries)} failure{'s' if len(entries) > 1 else ''}"]
    for error, mark in entries:
        lines.append(f"  {mark}" if mark else "  (place unknown)")
        lines.append(_told(error, redact))
    swallowed = group.suppressed if isinstance(group, _Tree) else ()
    if swallowed:
        lines.append(f"swallowed before: {len(swallowed)}")
    for error in swallowed:
        notes: Sequence[str] = getattr(error, "__notes__", ())
        lines += [f"  {_whole(note, redact).removeprefix('in ')}" for note in notes]
        lines.append(_told(error, redact))
    return redact("\n".join(lines))


def _told(error: BaseException, redact: Callable[[str], str]) -> str:
    first, _, rest = _whole(text_of(error), redact).partition("\n")
    text = "".join(f"\n      {line}" for line in rest.splitlines())
    return f"    {type(error).__name__}: {first}{text}"


def _whole(text: str, redact: Callable[[str], str]) -> str:
    """*text* redacted before its lines are moved, for a value may have several; of one line the whole report is."""
    return redact(text) if "\n" in text else text


@final
class FlowFailedError(_Tree, ExceptionGroup[Leaf_co], Generic[Leaf_co]):
    """Every failure of a run in one tree that mirrors the flow; its leaves are the exception objects the nodes raised.

    ``except* httpx.TimeoutException`` and ``split`` work as with any group; what they leave keeps its type and path.

    Attributes:
        path: the flow this group is about.
        state: the state as the last finished step left it (a failed ``post`` without ``.catch`` may have begun to write).
        marks: for each member where it arose; None for a nested group.
        suppressed: of a whole run, what races and tolerances had swallowed before, the last 100, oldest first.
        redact: makes of any text, such as a traceback, what may be shown of the run.
    """

    def __new__(cls, message: str, exceptions: Sequence[Leaf_co], /) -> Self:
        """Make a group; the engine adds path, state and marks."""
        return super().__new__(cls, message, exceptions)

    @overload
    def derive(self, excs: Sequence[Error], /) -> FlowFailedError[Error]: ...
    @overload
    def derive(self, excs: Sequence[BaseError], /) -> BaseExceptionGroup[BaseError]: ...
    @override
    def derive(self, excs: Sequence[BaseException], /) -> BaseExceptionGroup[BaseException]:
        return _derive(self, excs)

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.exceptions), self.without_secrets

    def leaves(self) -> Iterator[Exception]:
        """The exceptions that nodes raised, in the order they arose; a group raised by a node is one leaf."""
        return (error for error, _ in _entries(self) if isinstance(error, Exception))

    def only(self) -> Exception:
        """Return the one leaf.

        Raises:
            ValueError: there are several; the text names them.
        """
        leaves = list(self.leaves())
        if len(leaves) > 1:
            raise ValueError(f"there are {len(leaves)} failures, not one:\n{self.report()}")
        return leaves[0]

    def find(self, error: BaseException, /) -> Failure | None:
        """Where this very exception object arose; None if it is not a leaf of this tree."""
        return next((mark for leaf, mark in _entries(self) if leaf is error), None)

    def report(self) -> str:
        """The tree in words: a line for each place, a line for what happened there."""
        return _report(self)


@final
class FlowAbortedError(_Tree, BaseExceptionGroup[BaseLeaf_co], Generic[BaseLeaf_co]):
    """Failures of a run together with what ended it: Cancelled, KeyboardInterrupt or SystemExit.

    When Trio (or ``except*``) takes the latter out, a `FlowFailedError` is left.

    Attributes:
        path: the flow this group is about.
        state: the state as the last finished step left it.
        marks: for each member where it arose; None for a nested group.
        suppressed: of a whole run, what races and tolerances had swallowed before, the last 100, oldest first.
        redact: makes of any text, such as a traceback, what may be shown of the run.
    """

    def __new__(cls, message: str, exceptions: Sequence[BaseLeaf_co], /) -> Self:
        """Make a group; the engine adds path, state and marks."""
        return super().__new__(cls, message, exceptions)

    @overload
    def derive(self, excs: Sequence[Error], /) -> ExceptionGroup[Error]: ...
    @overload
    def derive(self, excs: Sequence[BaseError], /) -> BaseExceptionGroup[BaseError]: ...
    @override
    def derive(self, excs: Sequence[BaseException], /) -> BaseExceptionGroup[BaseException]:
        return _derive(self, excs)

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.exceptions), self.without_secrets

    def leaves(self) -> Iterator[BaseException]:
        """Everything that came back, in the order it arose."""
        return (error for error, _ in _entries(self))

    def find(self, error: BaseException, /) -> Failure | None:
        """Where this very exception object arose; None if it is not a leaf of this tree."""
        return next((mark for leaf, mark in _entries(self) if leaf is error), None)

    def report(self) -> str:
        """The tree in words: a line for each place, a line for what happened there."""
        return _report(self)


def _derive(
    tree: BaseExceptionGroup[BaseException], ours: Sequence[BaseException]
) -> BaseExceptionGroup[BaseException]:
    plain = [error for error in ours if isinstance(error, Exception)]
    group: FlowFailedError[Exception] | FlowAbortedError[BaseException]
    if len(plain) == len(ours):
        group = FlowFailedError(tree.message, plain)
    else:
        group = FlowAbortedError(tree.message, ours)
    group.take_from(tree, ours)
    return group
