"""The list of workloads: what is run, how large, against which limit, and which figure is the gate.

The gates are promises of the project: `must` is checked by ``--check``, `aim` is what we hope for.
"""

from __future__ import annotations

from enum import Enum
from typing import final

from attrs import frozen

__all__ = ["WORKLOADS", "Bound", "Kind", "Of", "Workload"]


@final
class Of(Enum):
    """What a bound speaks about."""

    RATIO = "ratio"
    VALUE = "value"
    EXCESS = "excess over the limit"
    DEPTH = "at least"


@frozen
class Bound:
    """A promise about a figure.

    Attributes:
        of: which figure.
        figure: the most it may be; for `Of.DEPTH`, the least. In the unit of the workload unless it is a ratio.
    """

    of: Of
    figure: float

    def holds(self, value: float, limit: float | None, ratio: float | None) -> bool:
        """Whether the figures keep the promise."""
        match self.of:
            case Of.RATIO:
                return ratio is not None and ratio <= self.figure
            case Of.VALUE:
                return value <= self.figure
            case Of.EXCESS:
                return limit is not None and value - limit <= self.figure
            case Of.DEPTH:
                return value >= self.figure

    def told(self, unit: str) -> str:
        """The promise in short."""
        match self.of:
            case Of.RATIO:
                return f"<= {self.figure:.2f}x"
            case Of.VALUE:
                return f"<= {self.figure:g} {unit}"
            case Of.EXCESS:
                return f"limit + {self.figure:,.0f} {unit}"
            case Of.DEPTH:
                return f">= {self.figure:g} {unit}"


@final
class Kind(Enum):
    """How a workload is measured."""

    PAIR = "paired rounds"
    LOOP_MEMORY = "peak of traced memory over growing loops"
    LOOP_RSS = "peak memory of the process over growing loops"
    PARKED_BYTES = "traced memory of one waiting flow"
    PARKED_RSS = "peak memory of the process with a waiting fleet"
    DEPTH = "whether it works at all"
    IMPORT = "fresh interpreters in turns"
    WORST = "the slowest single call"


@frozen
class Workload:
    """One line of the table.

    Attributes:
        name: what it is asked for by.
        title: what it does, in a few words.
        unit: of the figures.
        shape: the function of *ours*, and of a peer, that builds it.
        limit: the function of *limits* that builds its limit; its docstring tells both sides.
        size: the arguments of both.
        units: how many units one body does.
        must: the gate, checked by ``--check``.
        aim: what we hope for.
        kind: how it is measured.
        peers: whether peers are asked, too.
        control: the limit is measured instead of us.
        ours: the module of our side.
        limits: the module of the limits.
    """

    name: str
    title: str
    unit: str = "us"
    shape: str = ""
    limit: str = ""
    size: tuple[int, ...] = ()
    units: int = 1
    must: Bound | None = None
    aim: Bound | None = None
    kind: Kind = Kind.PAIR
    peers: bool = False
    control: bool = False
    ours: str = "bench_ours"
    limits: str = "bench_limits"


def guard(
    name: str,
    title: str,
    shapes: tuple[str, str],
    size: tuple[int, ...],
    *bounds: Bound,
    kind: Kind = Kind.PAIR,
) -> Workload:
    """A workload of `bench_robustness`. shapes: ours and the limit; bounds: must, and perhaps aim."""
    must, aim = (*bounds, None, None)[:2]
    return Workload(
        name,
        title,
        shape=shapes[0],
        limit=shapes[1],
        size=size,
        units=size[-1],
        must=must,
        aim=aim,
        kind=kind,
        peers=kind is Kind.PAIR,
        ours="bench_robustness",
        limits="bench_robustness",
    )


def observed(
    name: str,
    title: str,
    shape: str,
    must: float | None = None,
    aim: float | None = None,
    *,
    limit: str = "chain",
) -> Workload:
    """A workload of `bench_observed`: the chain of F1, with somebody who looks on; *limit*: if that looks on as well."""
    return Workload(
        name,
        title,
        shape=shape,
        limit=limit,
        size=(1_000,),
        units=1_000,
        must=None if must is None else Bound(Of.RATIO, must),
        aim=None if aim is None else Bound(Of.RATIO, aim),
        ours="bench_observed",
        limits="bench_limits" if limit == "chain" else "bench_observed",
    )


FLOWS = (
    Workload(
        "F0",
        "the limit of F1 against itself: how far this machine can be trusted, 1.00x if it can",
        shape="chain",
        limit="chain",
        size=(1_000,),
        units=1_000,
        control=True,
    ),
    Workload(
        "F1",
        "chain of 1,000 class nodes, one checkpoint in each",
        shape="chain",
        limit="chain",
        size=(1_000,),
        units=1_000,
        must=Bound(Of.RATIO, 1.30),
        aim=Bound(Of.RATIO, 1.20),
        peers=True,
    ),
    Workload(
        "F1s",
        "the same with function steps: each on a fork of the state",
        shape="chain_of_functions",
        limit="chain",
        size=(1_000,),
        units=1_000,
    ),
    Workload(
        "F1n",
        "chain of 1,000 nodes that never wait, against prep, exec, post by hand",
        shape="by_hand_quiet",
        limit="by_hand_quiet",
        size=(1_000,),
        units=1_000,
        must=Bound(Of.VALUE, 1.0),
        aim=Bound(Of.VALUE, 0.75),
        peers=True,
    ),
    Workload(
        "F2",
        "loop of 10,000 routed steps",
        shape="loop",
        limit="loop",
        size=(10_000,),
        units=10_000,
        must=Bound(Of.RATIO, 1.30),
        aim=Bound(Of.RATIO, 1.20),
        peers=True,
    ),
    Workload(
        "F2m",
        "memory of a loop: growth of its peak from 10,000 to 1,000,000 steps",
        unit="KB",
        shape="loop_quiet",
        size=(10_000, 100_000, 1_000_000),
        must=Bound(Of.VALUE, 16),
        kind=Kind.LOOP_MEMORY,
    ),
    Workload(
        "F2r",
        "the same as memory of the process",
        unit="KB",
        shape="loop_quiet",
        size=(10_000, 100_000, 1_000_000),
        must=Bound(Of.VALUE, 512),
        kind=Kind.LOOP_RSS,
    ),
    Workload(
        "F3",
        "fan-out to 1,000 branches and back, a fork each, merged by a rule; per branch",
        shape="branches",
        limit="branches",
        size=(1_000,),
        units=1_000,
        must=Bound(Of.RATIO, 1.40),
        aim=Bound(Of.RATIO, 1.30),
        peers=True,
    ),
    Workload(
        "F3c",
        "10,000 branches that wait are cancelled; per branch, until all have ended",
        shape="branches_cut_off",
        limit="branches_cut_off",
        size=(10_000,),
        units=10_000,
        must=Bound(Of.VALUE, 30),
    ),
    Workload(
        "F4",
        "batch of 100,000 items, 100 at a time, 8 at once; per item",
        shape="batches",
        limit="batches",
        size=(100_000, 100, 8),
        units=100_000,
        must=Bound(Of.RATIO, 1.10),
        aim=Bound(Of.RATIO, 0.90),
        peers=True,
    ),
    Workload(
        "F4s",
        "the same of 1,000,000 items from an asynchronous source, folded",
        shape="streamed",
        limit="streamed",
        size=(1_000_000, 100, 8),
        units=1_000_000,
        must=Bound(Of.RATIO, 1.30),
        aim=Bound(Of.RATIO, 1.10),
    ),
    Workload(
        "F4m",
        "memory of F4s: growth of its peak from 10,000 to 1,000,000 items",
        unit="KB",
        shape="streamed_alone",
        size=(10_000, 100_000, 1_000_000),
        must=Bound(Of.VALUE, 64),
        kind=Kind.LOOP_MEMORY,
    ),
    Workload(
        "F4i",
        "20,000 items that wait once each, 8 at once; per item",
        shape="items",
        limit="items",
        size=(20_000, 8),
        units=20_000,
        must=Bound(Of.RATIO, 1.30),
        aim=Bound(Of.RATIO, 1.15),
        peers=True,
    ),
    Workload(
        "F4if",
        "the same, folded in input order",
        shape="items_folded",
        limit="items",
        size=(20_000, 8),
        units=20_000,
        must=Bound(Of.RATIO, 1.40),
    ),
    Workload(
        "F5",
        "flows nested 50 deep, a fork of 4 fields each; per level",
        shape="nested",
        limit="nested",
        size=(50, 20),
        units=1_000,
        must=Bound(Of.RATIO, 1.60),
        aim=Bound(Of.RATIO, 1.45),
        peers=True,
    ),
    Workload(
        "F5d",
        "flows nested 400 deep",
        unit="levels",
        shape="nested",
        size=(400, 1),
        units=400,
        must=Bound(Of.DEPTH, 400),
        kind=Kind.DEPTH,
    ),
    Workload(
        "F6",
        "1,000 concurrent flows of 10 nodes; per node",
        shape="fleet",
        limit="fleet",
        size=(1_000, 10),
        units=10_000,
        must=Bound(Of.RATIO, 1.50),
        aim=Bound(Of.RATIO, 1.40),
        peers=True,
    ),
    Workload(
        "F6m",
        "memory of one of 1,000 waiting flows",
        unit="B",
        shape="parked",
        limit="parked",
        size=(1_000, 10),
        must=Bound(Of.EXCESS, 1_200),
        kind=Kind.PARKED_BYTES,
    ),
    Workload(
        "F6x",
        "memory of the process with 100,000 waiting flows",
        unit="MB",
        shape="parked",
        limit="parked",
        size=(100_000, 10),
        must=Bound(Of.VALUE, 512),
        kind=Kind.PARKED_RSS,
    ),
    observed("F7o", "the chain of F1 in an engine that nobody observes", "nobody"),
    observed("F7", "the same with metrics", "metrics", 1.45, 1.30),
    observed(
        "F7e", "the same with an observer that is told every event", "every_event", 2.9, 2.2
    ),
    observed("F7k", "the same started, its events kept for readers", "started", 2.6),
    observed("F7w", "the same with logs of what goes wrong only: nothing", "quiet_logs"),
    observed("F7l", "the same with logs as JSON, into nowhere", "logs"),
    observed(
        "F7lh",
        "the same, against structlog by hand: a line for each node, and where it is in the context",
        "logs",
        1.8,
        1.5,
        limit="logged_by_hand",
    ),
    observed("F7t", "the same with spans of OpenTelemetry, not exported", "spans"),
    observed(
        "F7th",
        "the same, against OpenTelemetry by hand: a span for each node, current in it",
        "spans",
        1.8,
        1.5,
        limit="spanned_by_hand",
    ),
    observed("F7a", "the same with metrics, logs and spans", "all_together"),
    Workload(
        "F9",
        "import agentflow_trio, against import trio",
        unit="ms",
        must=Bound(Of.RATIO, 1.25),
        aim=Bound(Of.RATIO, 1.10),
        kind=Kind.IMPORT,
        peers=True,
    ),
)

CALLS, MANY = 5_000, 20_000

GUARDS = (
    guard(
        "R1",
        "retry.call that succeeds at once",
        ("retry_call", "tried_by_hand"),
        (MANY,),
        Bound(Of.VALUE, 1.2),
        Bound(Of.VALUE, 0.7),
    ),
    guard(
        "R1a",
        "the same as async for attempt in retry",
        ("retry_loop", "tried_by_hand"),
        (MANY,),
        Bound(Of.VALUE, 3.0),
    ),
    guard(
        "R2",
        "a call through a closed breaker",
        ("closed", "closed_by_hand"),
        (MANY,),
        Bound(Of.VALUE, 0.85),
        Bound(Of.VALUE, 0.6),
    ),
    guard(
        "R2r",
        "a call that an open breaker rejects",
        ("rejected", "rejected_by_hand"),
        (MANY,),
        Bound(Of.VALUE, 1.7),
    ),
    guard(
        "R3",
        "rate limiter, admitted without waiting, 10 in a window",
        ("admit", "admit_by_hand"),
        (10, MANY),
        Bound(Of.VALUE, 0.73),
        Bound(Of.VALUE, 0.45),
    ),
    guard(
        "R3k",
        "the same, 1,000 in a window",
        ("admit", "admit_by_hand"),
        (1_000, MANY),
        Bound(Of.VALUE, 0.73),
        Bound(Of.VALUE, 0.45),
    ),
    guard(
        "R3x",
        "the same, 100,000 in a window",
        ("admit", "admit_by_hand"),
        (100_000, 200_000),
        Bound(Of.VALUE, 0.73),
        Bound(Of.VALUE, 0.45),
    ),
    guard(
        "R3f",
        "100,000 in a window, against ours with 10: how flat it is",
        ("admit_wide", "admit_narrow"),
        (200_000,),
        Bound(Of.RATIO, 1.2),
    ),
    guard(
        "R3w",
        "the slowest single call while 100,000 come and go",
        ("worst_admit", ""),
        (100_000, 7),
        Bound(Of.VALUE, 10.0),
        kind=Kind.WORST,
    ),
    guard(
        "R4",
        "an object lent, nobody else there, against trio.Semaphore",
        ("lend", "semaphore"),
        (CALLS,),
        Bound(Of.RATIO, 1.1),
    ),
    guard("R4h", "the same against a list by hand", ("lend", "lend_by_hand"), (CALLS,)),
    guard(
        "R4b",
        "a bulkhead, nobody else there, against trio.Semaphore",
        ("bulkhead", "semaphore"),
        (CALLS,),
        Bound(Of.RATIO, 1.1),
    ),
    guard(
        "R5",
        "one object, 10,000 waiting for it: a hand-over",
        ("line", "line_by_hand"),
        (10_000,),
        Bound(Of.RATIO, 1.4),
        Bound(Of.RATIO, 1.2),
    ),
    guard(
        "R5k",
        "the same with 1,000 waiting",
        ("line", "line_by_hand"),
        (1_000,),
        Bound(Of.RATIO, 1.4),
        Bound(Of.RATIO, 1.2),
    ),
    guard(
        "R5x",
        "the same with 100,000 waiting",
        ("line", "line_by_hand"),
        (100_000,),
        Bound(Of.RATIO, 1.4),
        Bound(Of.RATIO, 1.2),
    ),
    guard(
        "R5b",
        "one place of a bulkhead, 10,000 waiting for it: a hand-over",
        ("line_at_bulkhead", "line_by_hand"),
        (10_000,),
        Bound(Of.RATIO, 1.4),
        Bound(Of.RATIO, 1.2),
    ),
    guard(
        "R6h",
        "a hedge whose first attempt answers at once",
        ("hedged", "hedged_by_hand"),
        (CALLS,),
        Bound(Of.RATIO, 1.3),
    ),
    guard(
        "R7",
        "a value that a cache has, against a dict by hand",
        ("hit", "hit_by_hand"),
        (CALLS,),
        Bound(Of.RATIO, 1.4),
    ),
    guard("R7p", "the same, looked at without a checkpoint", ("peek", "peek_by_hand"), (MANY,)),
    guard(
        "R7m",
        "a load that nobody shares, against a dict of events by hand",
        ("miss", "miss_by_hand"),
        (CALLS,),
        Bound(Of.RATIO, 1.6),
    ),
    guard(
        "R7s",
        "a load that 1,000 share, for each of them",
        ("shared", "shared_by_hand"),
        (1_000,),
        Bound(Of.RATIO, 1.4),
    ),
    guard(
        "R8",
        "an adaptive limit, nobody else there, against one by hand",
        ("adapt", "adapt_by_hand"),
        (CALLS,),
        Bound(Of.RATIO, 1.6),
    ),
    guard(
        "R9",
        "a load shedder that lets in",
        ("shed", "shed_by_hand"),
        (CALLS,),
        Bound(Of.VALUE, 1.0),
    ),
    guard(
        "R10",
        "a pipeline of breaker, limiter and bulkhead, against async with",
        ("composed", "one_inside_the_other"),
        (CALLS,),
        Bound(Of.RATIO, 1.3),
    ),
    guard(
        "R10c",
        "the same, called",
        ("composed_call", "one_inside_the_other"),
        (CALLS,),
        Bound(Of.RATIO, 1.35),
    ),
    guard("R11", "chaos that is off", ("calm", "calm_by_hand"), (MANY,), Bound(Of.RATIO, 1.6)),
    guard(
        "R12",
        "a fallback for a body that fails, against try and except",
        ("instead", "instead_by_hand"),
        (MANY,),
        Bound(Of.VALUE, 1.7),
    ),
)

WORKLOADS = (*FLOWS, *GUARDS)
