"""What the three forms of a retry share: its state in a run of Trio, and one body's trial.

Layer: robustness. Rules: decide and record without an await in between; what is told is told after it was recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from random import Random
from typing import Final, final

import attrs
import trio
from trio.lowlevel import current_root_task, in_trio_run

from ..errors import text_of
from ..ports import Met
from ._budget import budget_of
from ._budget_core import Budget, BudgetStatistics
from ._dice import Dice, derived_dice
from ._events import AttemptFailed, GaveUp, OnEvent, RetryScheduled
from ._guard import Home, Listener
from ._retry_core import Again, Course, Decision, Reason, Stop
from ._retry_policy import RetryPolicy
from ._verdict_core import Judge

__all__ = ["RetryState", "RetryStatistics", "Trial"]


@final
@attrs.frozen(kw_only=True)
class RetryStatistics:
    """A picture of a retry, since its run of Trio began.

    Attributes:
        name: of the retry.
        calls: how many bodies were begun.
        retries: how often one was begun again.
        recovered: how many succeeded after a failure.
        gave_up: how many failed for good, by reason. Cancelled ones are not among them.
        waiting: how many wait for another attempt right now.
        budget: a picture of the budget; None if there is none, or the retry was not used yet.
    """

    name: str
    calls: int
    retries: int
    recovered: int
    gave_up: Mapping[Reason, int]
    waiting: int
    budget: BudgetStatistics | None


@final
class RetryState:
    """What a retry is made of, and what it has seen in this run of Trio."""

    __slots__ = (
        "budget",
        "calls",
        "dice",
        "gave_up",
        "home",
        "judge",
        "listener",
        "name",
        "owner",
        "policy",
        "recovered",
        "retries",
        "seed",
        "waiting",
    )

    def __init__(
        self,
        name: str,
        policy: RetryPolicy,
        seed: int | str | None,
        on_event: OnEvent | None,
        owner: Met | None = None,
    ) -> None:
        """*owner*: the retry that users know; by default this itself."""
        self.name: str = name
        self.owner: Met | None = owner
        self.policy: RetryPolicy = policy
        self.seed: int | str | None = seed
        self.home: Home = Home()
        self.listener: Listener = Listener(name, on_event)
        self.judge: Judge = Judge(
            policy.on, policy.ignore, unsure="ignored", complain=self.listener.complain
        )
        self.budget: Budget | None = None
        self._start_blank()

    def _start_blank(self) -> None:
        self.dice: Dice = Dice() if self.seed is None else Dice(self.seed)
        self.calls: int = 0
        self.retries: int = 0
        self.recovered: int = 0
        self.gave_up: dict[Reason, int] = {}
        self.waiting: int = 0
        self.listener.start_anew()

    def begin(self) -> float:
        """Count a body that begins now, and return the time. Not a checkpoint.

        Raises:
            GuardInUseError: the retry is in use under another run of Trio.
            ValueError: its budget is in use with other settings.
        """
        if current_root_task() is not self.home.root:
            self._move_in()
        now = trio.current_time()
        self.calls += 1
        if self.budget is not None:
            self.budget.deposit(now)
        return now

    def _move_in(self) -> None:
        if self.home.move_in(self.owner or self):
            self._start_blank()
        if self.policy.budget is not None:
            self.budget = budget_of(self.policy.budget)

    def random(self) -> Random:
        """Dice for one body: of this retry's seed, else of the step it is used in, else of the process."""
        derived = derived_dice() if self.seed is None else None
        return (derived or self.dice.of)(self.name)

    def statistics(self) -> RetryStatistics:
        """A frozen picture."""
        if in_trio_run() and current_root_task() is not self.home.root:
            self._move_in()
        return RetryStatistics(
            name=self.name,
            calls=self.calls,
            retries=self.retries,
            recovered=self.recovered,
            gave_up=dict(self.gave_up),
            waiting=self.waiting,
            budget=self.budget and self.budget.statistics(),
        )


@final
class Trial:
    """One body, from its first failure on."""

    __slots__ = ("_course", "_own", "_random", "_since", "_state")

    def __init__(self, state: RetryState, begun: float, *, own: bool = False) -> None:
        self._state = state
        self._own = own
        self._course = Course(state.policy, state.judge, begun)
        self._random: Random | None = None
        self._since = begun  # when the attempt began that runs, or ran last

    @staticmethod
    def begin(policy: RetryPolicy, now: float) -> None:
        """Let the budget of *policy* know of a body that begins now, for who keeps no `Retry`. Not a checkpoint.

        Raises:
            ValueError: the budget is in use with other settings.
        """
        if policy.budget is not None:
            budget_of(policy.budget).deposit(now)

    @classmethod
    def alone(cls, name: str, policy: RetryPolicy, begun: float) -> Trial:
        """The trial of a step's own body that began then and has failed, with nothing shared but the policy and its budget.

        A `Retry` belongs to one run of Trio at a time; a policy, and so whatever has one, to none. Not a checkpoint.
        """
        state = RetryState(name, policy, None, None)
        if policy.budget is not None:
            state.budget = budget_of(policy.budget)
        return cls(state, begun, own=True)

    def failed(self, error: Exception, last: int | None = None) -> Again | None:
        """When to try again after *error*; None: not at all, and *error* says why in a note. Not a checkpoint.

        *last*: the number of the visit's attempt that was made last, if this counts rounds of several; events tell it.
        """
        state, now = self._state, trio.current_time()
        decision = self._course.failed(
            error,
            now,
            deadline=trio.current_effective_deadline(),
            draw=self._draw,
            budget=state.budget,
        )
        return self._record(decision, error, now, last)

    def unwanted(self) -> Again | None:
        """When to try again after a result that is not wanted; None: not at all. Not a checkpoint."""
        state, now = self._state, trio.current_time()
        decision = self._course.unwanted(
            now,
            deadline=trio.current_effective_deadline(),
            draw=self._draw,
            budget=state.budget,
        )
        return self._record(decision, None, now)

    async def pause(self, again: Again, error: Exception | None) -> bool:
        """Wait for the next attempt, and return whether it begins: not if the loop was so busy that it is too late.

        A checkpoint. What the budget has paid for an attempt that does not begin is given back.
        """
        try:
            stop, now = await self._slept(again)
            if stop is not None:
                self._give_up(stop, error, now)
            return stop is None
        finally:
            del (
                error
            )  # or it would live as long as this frame, which the sleep's Cancelled keeps

    async def _slept(self, again: Again) -> tuple[Stop | None, float]:
        """Wait for the next attempt; return why it does not begin, if it does not, and what time it is."""
        state, begins = self._state, False
        state.waiting += 1
        try:
            await trio.sleep_until(again.at)
            now = trio.current_time()
            stop = self._course.woken(again, now, deadline=trio.current_effective_deadline())
            begins = stop is None
            self._since = now
        finally:
            state.waiting -= 1
            if state.budget is not None and again.paid is not None and not begins:
                state.budget.give_back(again.paid, trio.current_time())
        state.retries += begins
        return stop, now

    def succeeded(self) -> None:
        """Count a body that succeeded at last."""
        self._state.recovered += 1

    def _draw(self) -> float:
        self._random = self._random or self._state.random()
        return self._random.random()

    def _record(
        self, decision: Decision, error: Exception | None, now: float, last: int | None = None
    ) -> Again | None:
        name, listener = self._state.name, self._state.listener
        if listener.on:
            kind, text = _UNWANTED if error is None else _brief(error)
            listener.tell(
                AttemptFailed(
                    guard=name,
                    timestamp=now,
                    duration_ms=(now - self._since) * 1000.0,
                    attempt=last or self._course.attempt,
                    error=kind,
                    message=text,
                    own=self._own,
                )
            )
        if isinstance(decision, Stop):
            self._give_up(decision, error, now)
            return None
        if listener.on:
            attempt = decision.attempt if last is None else last + 1
            listener.tell(
                RetryScheduled(
                    guard=name,
                    timestamp=now,
                    attempt=attempt,
                    delay=decision.delay,
                    own=self._own,
                )
            )
        return decision

    def _give_up(self, stop: Stop, error: Exception | None, now: float) -> None:
        state, attempts = self._state, self._course.attempt
        elapsed = now - self._course.begun
        state.gave_up[stop.reason] = state.gave_up.get(stop.reason, 0) + 1
        if stop.wrong is not None:
            state.listener.complain(stop.wrong)
        if state.listener.on:
            told = GaveUp(
                guard=state.name,
                timestamp=now,
                attempts=attempts,
                elapsed=elapsed,
                reason=stop.reason,
            )
            state.listener.tell(told)
        if error is not None:
            times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            note = f"retry {state.name!r}: gave up after {times} in {elapsed:g} s: {stop.text}"
            # an error may refuse notes; it is raised all the same
            with contextlib.suppress(Exception):
                error.add_note(note)


_UNWANTED: Final = ("", "unwanted result")


def _brief(error: Exception) -> tuple[str, str]:
    """The class and the text of *error*, as events tell them."""
    return type(error).__name__, text_of(error)
