"""The rules of an adaptive limit against people who know only when they came in, how their bodies ended, and what was let in."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, TypeAlias

import pytest
from attrs import define
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentflow_trio.robustness import AdaptiveLimitPolicy, Verdict
from agentflow_trio.robustness._adaptive_limit_core import AdaptiveLimitCore, Sample

Core: TypeAlias = AdaptiveLimitCore[int, Sample]

TICKS = st.integers(0, 24).map(lambda ticks: ticks / 16)
"""Times that add up without rounding."""


@st.composite
def policies(draw: st.DrawFn) -> AdaptiveLimitPolicy:
    initial = draw(st.integers(1, 6))
    return AdaptiveLimitPolicy(
        initial=initial,
        minimum=draw(st.integers(1, initial)),
        maximum=draw(st.integers(initial, 12)),
        backoff=draw(st.sampled_from([0.9, 0.5, 0.25])),
        slow_after=draw(st.none() | st.integers(1, 24).map(lambda ticks: ticks / 16)),
        max_waiters=draw(st.integers(0, 5)),
    )


@define
class Inside:
    """Somebody inside. begun: since when; known: the limits there had been by then."""

    sample: Sample
    begun: float
    known: int


ANY_BUT_FAILURE: Final[list[Verdict]] = ["cancelled", "ignored", "success"]


class AdaptiveLimits(RuleBasedStateMachine):
    """What an adaptive limit promises; all that is compared was told to callers; `history` holds the limits that follow from it.

    1. Never is the limit below its minimum or above its maximum.
    2. Nobody comes in while as many are inside as the limit, and everybody does while fewer are and nobody waits.
    3. Who comes in from the line is who came first, and as many as there is room for at once.
    4. A body that failed makes the limit int(limit * backoff).
    5. So does one whose result was a failure, and one that took slow_after seconds; the time of who waited begins when
       it comes in.
    6. A body that ended well makes it one more if at least half of it is in use, itself included.
    7. A body that was cancelled, or whose error is ignored, changes nothing, whatever it recorded.
    8. A body changes nothing that failed or was slow and came in before the limit last went down, or that ended well
       and came in before it last changed.
    9. Leaving without being inside is an error and changes nothing.
    10. Every body is counted as what it was; every caller was let in, refused, waits, or was cancelled.
    11. When everybody has left nothing remains.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.came = self.refused = self.gone = 0
        self.history: list[int] = []
        self.inside: dict[int, Inside] = {}
        self.waiting: list[tuple[int, Sample]] = []
        self.ended = dict.fromkeys(("succeeded", "slow", "failed", "unjudged", "stale"), 0)

    @property
    def limit(self) -> int:
        return self.history[-1]

    @initialize(policy=policies())
    def make(self, policy: AdaptiveLimitPolicy) -> None:
        self.policy = policy
        self.history.append(policy.initial)
        self.core: Core = AdaptiveLimitCore(policy)

    # One rule: of several Hypothesis leaves out some, and a limit that nobody leaves learns little.

    @rule(data=st.data(), kind=st.sampled_from("ccccccsssssssfftrrwn"))
    def something_happens(self, data: st.DataObject, kind: str) -> None:
        match kind:
            case "c":
                self.come()
            case "s" | "f" | "r" if self.inside:
                who = data.draw(st.sampled_from(sorted(self.inside)))
                if kind == "r":
                    self.inside[who].sample.failed = True
                verdicts: dict[str, list[Verdict]] = {"s": ["success"], "f": ["failure"]}
                verdict = data.draw(st.sampled_from(verdicts.get(kind, ANY_BUT_FAILURE)))
                self.leave(who, verdict)
            case "t":
                self.now += data.draw(TICKS)
            case "w" if self.waiting:
                who, _ = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
                self.core.line.withdraw(who)
                self.gone += 1
            case _:
                self.nonsense(data)

    # ------------------------------------------------------------ coming

    def come(self) -> None:
        who, sample = self.came, Sample()
        self.came += 1
        if self.core.enter(who, sample, self.now):
            assert len(self.inside) < self.limit
            assert not self.waiting
            self.inside[who] = Inside(sample, self.now, len(self.history))
            return
        assert len(self.inside) >= self.limit
        refusal = self.core.line.join(who, sample, self.now)
        if len(self.waiting) == self.policy.max_waiters:
            assert refusal == "queue"
            self.refused += 1
        else:
            assert refusal is None
            self.waiting.append((who, sample))

    # ------------------------------------------------------------ leaving

    def leave(self, who: int, verdict: Verdict) -> None:
        limit = self.limit_after(self.inside[who], verdict)
        event(f"{verdict}: {'as it was' if limit == self.limit else 'changed'}")
        del self.inside[who]
        if limit != self.limit:
            self.history.append(limit)
        admitted = self.core.leave(who, verdict, self.now)
        room = max(0, limit - len(self.inside))
        first, self.waiting = self.waiting[:room], self.waiting[room:]
        assert admitted == tuple(number for number, _ in first)
        for number, sample in first:
            self.inside[number] = Inside(sample, self.now, len(self.history))

    def limit_after(self, body: Inside, verdict: Verdict) -> int:
        """What the limit becomes, and counts what the body was."""
        policy = self.policy
        if verdict in {"cancelled", "ignored"}:
            self.ended["unjudged"] += 1
            return self.limit
        kind = "succeeded"
        if verdict == "failure" or body.sample.failed:
            kind = "failed"
        elif policy.slow_after is not None and self.now - body.begun >= policy.slow_after:
            kind = "slow"
        self.ended[kind] += 1
        later = self.history[body.known - 1 :]
        went_down = any(after < before for before, after in pairwise(later))
        if went_down or (kind == "succeeded" and len(later) > 1):
            self.ended["stale"] += 1
            return self.limit
        if kind == "succeeded":
            is_idle = len(self.inside) < self.limit / 2
            return self.limit if is_idle else min(self.limit + 1, policy.maximum)
        return max(int(self.limit * policy.backoff), policy.minimum)

    def nonsense(self, data: st.DataObject) -> None:
        before = self.core.statistics()
        outside = [who for who in range(self.came + 1) if who not in self.inside]
        with pytest.raises(KeyError):
            self.core.leave(data.draw(st.sampled_from(outside)), "failure", self.now)
        assert self.core.statistics() == before

    # ------------------------------------------------------------ always

    @invariant()
    def what_is_told_is_so(self) -> None:
        told = self.core.statistics()
        assert told.limit == self.core.limit == self.limit
        assert self.policy.minimum <= told.limit <= self.policy.maximum
        assert (told.inside, told.waiting) == (len(self.inside), len(self.waiting))
        assert {kind: getattr(told, kind) for kind in self.ended} == self.ended
        left = told.succeeded + told.slow + told.failed + told.unjudged
        assert told.entered == left + told.inside
        assert (told.refused, told.cancelled) == (self.refused, self.gone)
        assert told.entered + told.refused + told.cancelled + told.waiting == self.came

    @invariant()
    def each_is_inside_with_what_it_brought(self) -> None:
        samples = {who: body.sample for who, body in self.inside.items()}
        assert self.core.inside == samples
        assert [sample.begun for sample in samples.values()] == [
            body.begun for body in self.inside.values()
        ]

    def teardown(self) -> None:
        for who in list(self.inside):
            self.leave(who, "cancelled")
        while self.inside:
            self.leave(min(self.inside), "cancelled")
        assert not self.waiting


TestAdaptiveLimits = AdaptiveLimits.TestCase
