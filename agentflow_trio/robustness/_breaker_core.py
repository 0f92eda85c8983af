"""The rules of a circuit breaker: which call is let through, and what its end changes. No clock, no I/O.

Layer: robustness, a core: sans-IO, synchronous, ``now`` is an argument. Rules: every change of state and every act
by hand begins a new generation; what was let through in an older one counts as stale and changes nothing; nothing
needs a timer, since what a timer would have done is made up for at the next call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, final

from ._breaker_counts_core import CallWindow, LastCalls
from ._breaker_states_core import Act, BreakerState, Cause, Change, after
from ._circuit_policy import CircuitPolicy
from ._circuit_records import CircuitSnapshot
from ._clock_core import seconds_until
from ._verdict_core import Verdict

__all__ = ["BreakerCore", "Refusal", "Ticket"]

# The hot path compares states: looking a member up in its class costs more than the comparison.
_CLOSED: Final = BreakerState.CLOSED
_OPEN: Final = BreakerState.OPEN
_HALF_OPEN: Final = BreakerState.HALF_OPEN
_ISOLATED: Final = BreakerState.ISOLATED
_DISABLED: Final = BreakerState.DISABLED


class Ticket:
    """What the rules must know of one call that was let through. Made often, so whoever makes it fills it in.

    Attributes:
        generation: in which it was; its complement (``~``) once its result was recorded as a failure, so that one
            comparison tells a shell that there is nothing to decide.
        begun: when its body began; asked for only if some rule wants to know.
    """

    __slots__ = ("begun", "generation")
    generation: int
    begun: float


Refusal: TypeAlias = tuple[Literal["open", "half_open", "isolated"], float | None]
"""Why a call is not let through, and after how many seconds it is worth another try."""


@final
class BreakerCore:
    """A circuit breaker without clock and tasks. ``now`` must never go back.

    Attributes:
        state: what it does with calls, as the last of them left it.
        generation: goes up by one with every change.
        easy: the generation, while an admission needs no decision, and a success does no more than end the streak of
            failures: closed, and `failure_threshold` the only rule. The shell then does both itself. Else None.
        streak: failures in a row while closed.
        trips: how often it opened in a row without closing.
        until: when an open circuit admits a probe; ``inf`` in other states.
        changes: those nobody was told of yet, oldest first.
        succeeded, failed, ignored, cancelled: how the calls ended that had a say.
        stale: how many ended in a later generation than they began in.
        rejected: how many were not let through.
        opened: how often the circuit was opened.
    """

    __slots__ = (
        "_draw",
        "_last",
        "_policy",
        "_probes",
        "_probes_end",
        "_successes",
        "_window",
        "cancelled",
        "changes",
        "easy",
        "failed",
        "generation",
        "ignored",
        "opened",
        "rejected",
        "stale",
        "state",
        "streak",
        "succeeded",
        "trips",
        "until",
    )

    def __init__(self, policy: CircuitPolicy, draw: Callable[[], float]) -> None:
        """*draw* makes numbers from 0 to 1; asked only if the policy has jitter."""
        self._policy = policy
        self._draw = draw
        of_last = policy.failures_of_last
        self._last = None if of_last is None else LastCalls(of_last[1])
        rates = policy.failure_rate, policy.slow_rate
        self._window = None if rates == (None, None) else CallWindow(policy.window)
        self.changes: list[Change] = []
        self.generation = self.trips = self.streak = self._successes = self._probes = 0
        self._forget_totals()
        self._settle_in(_CLOSED)
        self._ease()

    # ------------------------------------------------------------ calls

    def admit(self, now: float) -> Refusal | None:
        """Let a call through (None), which must be settled with a `Ticket` of `generation`, or say why not."""
        if self.state is _CLOSED:
            return None
        if self._probes_end <= now:
            self._open_hung()
        if self.state is _OPEN:
            if now < self.until:
                self.rejected += 1
                return "open", seconds_until(self.until, now)
            self._go("recovery_timeout", now)
        if self.state is _HALF_OPEN:
            if self._probes < self._probes_wanted():
                self._let_probe_out(now)
                return None
            self.rejected += 1
            return "half_open", None
        if self.state is _ISOLATED:
            self.rejected += 1
            return "isolated", None
        return None

    def settle(self, ticket: Ticket, verdict: Verdict, now: float) -> None:
        """Take note of how a call ended, once for each that was let through."""
        if self._probes_end <= now:
            self._open_hung()
        generation = ticket.generation
        recorded = generation < 0
        if self.generation != (~generation if recorded else generation):
            self.stale += 1
            return
        if self.state is _DISABLED:
            return
        failed = verdict == "failure" or (recorded and verdict == "success")
        if self.state is _HALF_OPEN:
            self._take_probe_back(now)
        if failed:
            self.failed += 1
        elif verdict == "success":
            self.succeeded += 1
        elif verdict == "ignored":
            self.ignored += 1
            return
        else:
            self.cancelled += 1
            return
        slow_after = self._policy.slow_after
        slow = slow_after is not None and ticket.begun + slow_after <= now
        cause = self._judge(now, failed, slow)
        if cause is not None:
            self._go(cause, now)

    def _judge(self, now: float, failed: bool, slow: bool) -> Cause | None:  # noqa: FBT001 - a call by keyword takes longer
        """What a call that counts is the cause of, if anything."""
        if self.state is _HALF_OPEN:
            if failed:
                return "probe_failed"
            if slow:
                return "probe_slow"
            self._successes += 1
            enough = self._successes >= self._policy.success_threshold
            return "probes_succeeded" if enough else None
        self.streak = self.streak + 1 if failed else 0
        if self._last is not None:
            self._last.add(failed=failed)
        if self._window is not None:
            self._window.add(now, failed=failed, slow=slow)
        return self._why_open()

    def _why_open(self) -> Cause | None:
        policy, last, window = self._policy, self._last, self._window
        if policy.failure_threshold is not None and self.streak >= policy.failure_threshold:
            return "failure_threshold"
        of_last = policy.failures_of_last
        if of_last is not None and last is not None and last.failed >= of_last[0]:
            return "failures_of_last"
        if window is not None and len(window) >= policy.min_calls:
            if _reaches(window.failed, policy.failure_rate, len(window)):
                return "failure_rate"
            if _reaches(window.slow, policy.slow_rate, len(window)):
                return "slow_rate"
        return None

    # ------------------------------------------------------------ probes

    def _probes_wanted(self) -> int:
        policy = self._policy
        return min(policy.half_open_max_calls, policy.success_threshold - self._successes)

    def _let_probe_out(self, now: float) -> None:
        if not self._probes:
            self._probes_end = now + self._policy.half_open_max_duration
        self._probes += 1

    def _take_probe_back(self, now: float) -> None:
        self._probes -= 1
        left = self._policy.half_open_max_duration if self._probes else math.inf
        self._probes_end = now + left

    def _open_hung(self) -> None:
        """Open the circuit at the time when the probes became overdue, as a timer would have done."""
        self._go("probes_hung", self._probes_end)

    # ------------------------------------------------------------ changes

    def act(self, act: Act, now: float) -> None:
        """Do what somebody wants by hand. ``reset`` also sets the totals to zero."""
        if act == "reset":
            self._forget_totals()
        self._go(act, now)

    def _go(self, cause: Cause, now: float) -> None:
        before = self.state
        self._settle_in(after(before, cause))
        seconds = None
        if self.state is _OPEN:
            self.opened += 1
            self.trips += 1
            seconds = self._policy.open_for(self.trips, self._draw)
            self.until = now + seconds
        self._note(before, cause, seconds)

    def _settle_in(self, state: BreakerState) -> None:
        """Begin a state with nothing counted; how often it opened in a row is forgotten by closing only."""
        self.state = state
        self.streak = self._successes = self._probes = 0
        self.until = self._probes_end = math.inf
        if self._last is not None:
            self._last.clear()
        if self._window is not None:
            self._window.clear()
        if state is not _OPEN and state is not _HALF_OPEN:
            self.trips = 0

    def _ease(self) -> None:
        easy = self.state is _CLOSED and self._last is None and self._window is None
        self.easy: int | None = self.generation if easy else None

    def _note(
        self, before: BreakerState, cause: Cause | Literal["restored"], seconds: float | None
    ) -> None:
        self.generation += 1
        self._ease()
        self.changes.append(Change(before, cause, self.state, self.generation, seconds))

    def _forget_totals(self) -> None:
        self.succeeded = self.failed = self.ignored = self.cancelled = 0
        self.stale = self.rejected = self.opened = 0

    # ------------------------------------------------------------ snapshots

    def snapshot(self, now: float) -> CircuitSnapshot:
        """What is to be known elsewhere, in seconds from now."""
        if self._probes_end <= now:
            self._open_hung()
        return CircuitSnapshot(
            state=self.state,
            remaining=seconds_until(self.until, now) if self.state is _OPEN else None,
            trips=self.trips,
            streak=self.streak,
            last=() if self._last is None else self._last.all(),
            window=() if self._window is None else self._window.remaining(now),
            successes=self._successes,
        )

    def restore(self, snapshot: CircuitSnapshot, now: float) -> None:
        """Go on from *snapshot*, in a new generation. What this policy has no rule for is left out.

        Under another policy than the snapshot's, a count may already be beyond its bound: the next call that counts
        then decides.
        """
        before, remaining = self.state, snapshot.remaining
        self._settle_in(snapshot.state)
        self.trips = snapshot.trips
        self.streak = snapshot.streak
        # one more is to be seen, or nothing would ever close it
        self._successes = min(snapshot.successes, self._policy.success_threshold - 1)
        if self.state is _OPEN:
            remaining = 0.0 if remaining is None else remaining
            self.until = now + remaining
        if self._last is not None:
            for failed in snapshot.last:
                self._last.add(failed=failed)
        if self._window is not None:
            self._window.fill(snapshot.window, now)
        self._note(before, "restored", remaining)


def _reaches(some: int, share: float | None, calls: int) -> bool:
    return share is not None and some / calls >= share
