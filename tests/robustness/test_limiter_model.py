"""The line before a meter, against a model that goes through everything from the beginning each time it is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from limiter_models import (
    Admission,
    BucketModel,
    Model,
    Waiting,
    WindowModel,
    WindowsModel,
)

from agentflow_trio.robustness._limiter_core import LimiterCore, Meter, Refusal, Waiter
from agentflow_trio.robustness._token_bucket_core import Bucket
from agentflow_trio.robustness._window_core import Window, Windows

STEPS = st.integers(0, 40).map(lambda n: n / 16) | st.integers(0, 250).map(lambda n: n / 100)
DYADIC = st.integers(0, 40).map(lambda n: n / 16)
WEIGHTS = st.sampled_from([1, 1, 1, 2, 3, 5])
BOUNDS = st.none() | st.integers(0, 64).map(lambda n: n / 16)


class Numbered(Waiter):
    """Somebody in the line, known by when it came."""

    def __init__(self, number: int, weight: int, since: float, latest: float) -> None:
        super().__init__(weight, since, latest)
        self.number = number


class LimiterMachine(RuleBasedStateMachine):
    """What holds after any sequence of arrivals, pauses, cancellations and changes of the limit.

    1. Who does not want to wait is admitted exactly if nobody waits and the model has room now.
    2. Refusing changes nothing for those who wait.
    3. ``now + retry_after`` is the instant at which a try would succeed, were nobody else to come.
    4. Somebody who may wait so long, or until a deadline, is refused on arrival exactly if the model would serve
       it later, or not before its deadline.
    5. Somebody who comes when ``max_waiters`` wait is refused; with one less it is not.
    6. Everybody is served at the model's instant, to the last bit.
    7. They are served in the order in which they came, heavy ones included.
    8. Nobody waits while there is room for the first.
    9. Whoever is cancelled changes nothing for those before, and those behind are served as if it had never come.
    10. After the limit was lowered exactly those are thrown out whom it can never serve, or only after
        their latest instant; the others are served as if these had never come.
    11. After the limit was raised, everybody is served as early as it now allows.
    12. Nothing is admitted that makes a window too heavy, or takes more out of a bucket than is in it.
    13. Who is still in the line has not been served; who was served, refused, cancelled or thrown out is not in it.
    14. Statistics count what happened.
    15. When the clock wakes everybody late, all of the above holds from the instants at which they were
        served; only what is foretold may be too early.
    """

    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.count = 0
        self.admitted: list[Admission] = []
        self.line: list[tuple[Waiting, Numbered]] = []
        self.refused = 0
        self.cancelled = 0
        self.is_punctual = True  # everybody in the line came after the last late service

    def start(self, meter: Meter, model: Model, max_waiters: int | None) -> None:
        self.core: LimiterCore[Numbered] = LimiterCore(meter, max_waiters)
        self.model = model

    # ------------------------------------------------------------ the model

    def instants(self, line: Sequence[Waiting]) -> list[float]:
        """When each of a line is served, if nobody else comes."""
        admitted, at, found = [*self.admitted], self.now, list[float]()
        for waiting in line:
            at = self.model.earliest(admitted, at, waiting.weight)
            admitted.append(Admission(at, waiting.weight))
            found.append(at)
        return found

    def due(self, weight: int) -> float:
        """When somebody who comes now is served."""
        return self.instants([*(each for each, _ in self.line), Waiting(-1, weight)])[-1]

    def check_retry(self, refusal: Refusal, weight: int) -> None:
        self.refused += 1
        assert refusal.retry_after is not None
        assert refusal.retry_after >= 0.0
        again, due = self.now + refusal.retry_after, self.due(weight)
        if self.is_punctual:
            assert again == due or (
                again > due and self.now + math.nextafter(refusal.retry_after, -math.inf) < due
            )
        else:
            assert again <= due

    def serve_all(self, at: float) -> None:
        """Serve whoever is due at an instant."""
        self.now = at
        while self.line and self.instants([self.line[0][0]])[0] == at:
            waiting, waiter = self.line.pop(0)
            assert self.core.head is waiter
            assert self.core.serve(waiter, at) <= at
            self.admitted.append(Admission(at, waiting.weight))
        if not self.line:
            self.is_punctual = True

    # ------------------------------------------------------------ what happens

    def wait_until(self, until: float) -> None:
        while self.line and (due := self.instants([self.line[0][0]])[0]) <= until:
            assert self.core.serve(self.line[0][1], self.now) == due
            self.serve_all(due)
        self.now = until

    @rule(step=DYADIC)
    def wait(self, step: float) -> None:
        self.wait_until(self.now + step)

    @precondition(lambda self: self.line)
    @rule(step=DYADIC)
    def wait_with_a_late_clock(self, step: float) -> None:
        self.is_punctual = False
        self.serve_all(self.now + step)

    @precondition(lambda self: self.line)
    @rule()
    def wait_for_all(self) -> None:
        """However deep the line, everybody is served at the instant that could have been told before."""
        foretold = self.instants([each for each, _ in self.line])
        before = len(self.admitted)
        self.wait_until(foretold[-1])
        assert [each.at for each in self.admitted[before:]] == foretold
        assert not self.line

    @rule(weight=WEIGHTS)
    def come_nowait(self, weight: int) -> None:
        if weight > self.model.largest:
            return
        fits = not self.line and self.due(weight) == self.now
        assert self.core.admit(weight, self.now) == fits
        if fits:
            self.admitted.append(Admission(self.now, weight))
        else:
            self.check_retry(self.core.refuse("full", weight, self.now), weight)

    @rule(weight=WEIGHTS, max_wait=BOUNDS, until=BOUNDS)
    def come(self, weight: int, max_wait: float | None, until: float | None) -> None:
        if weight > self.model.largest:
            return
        if self.core.admit(weight, self.now):
            assert not self.line
            self.admitted.append(Admission(self.now, weight))
            return
        due = self.due(weight)
        assert self.line or due > self.now
        latest = math.inf if max_wait is None else self.now + max_wait
        deadline = math.inf if until is None else self.now + until
        waiter = Numbered(self.count, weight, self.now, latest)
        refusal = self.core.join(waiter, self.now, deadline)
        if self.core.max_waiters is not None and len(self.line) >= self.core.max_waiters:
            assert refusal is not None
            assert refusal.reason == "queue"
        elif self.is_punctual:
            expected = "max_wait" if due > latest else "deadline" if due >= deadline else None
            assert (refusal.reason if refusal else None) == expected
        if refusal is not None:
            self.check_retry(refusal, weight)
        else:
            self.line.append((Waiting(self.count, weight, latest), waiter))
            self.count += 1

    @rule(often=st.integers(2, 9))
    def come_in_numbers(self, often: int) -> None:
        for _ in range(often):
            self.come(1, None, None)

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.line) - 1))
        _, waiter = self.line.pop(place)
        assert self.core.leave(waiter) == (place == 0)
        self.cancelled += 1
        self.is_punctual = True
        self.serve_all(self.now)  # a heavy one may have been before a light one

    @rule(limit=st.sampled_from([1, 2, 4, 8]))
    def change(self, limit: int) -> None:
        self.model.change(self.now, limit)
        kept: list[tuple[Waiting, Numbered]] = []
        lost: list[Numbered] = []
        for waiting, waiter in self.line:
            instants = [math.inf]
            if waiting.weight <= self.model.largest:
                instants = self.instants([*(each for each, _ in kept), waiting])
            if (
                instants[-1] <= waiting.latest < math.inf
                or instants[-1] < math.inf == waiting.latest
            ):
                kept.append((waiting, waiter))
            else:
                lost.append(waiter)
        self.line = kept
        self.is_punctual = True
        found = self.core.set_limit(limit, self.now, 0)
        assert [waiter for waiter, _ in found] == lost
        for waiter, refusal in found:
            assert refusal.reason == "lowered"
            if waiter.weight <= self.model.largest:
                self.check_retry(refusal, waiter.weight)
            else:
                self.refused += 1
                assert refusal.retry_after is None
        self.serve_all(self.now)

    # ------------------------------------------------------------ what holds

    @invariant()
    def the_line_is_that_of_the_model(self) -> None:
        if hasattr(self, "model"):
            assert list(self.core.line) == [waiter for _, waiter in self.line]
            assert self.core.head is (self.line[0][1] if self.line else None)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        if hasattr(self, "model") and self.line:
            assert self.instants([self.line[0][0]])[0] > self.now

    @invariant()
    def statistics_count_what_happened(self) -> None:
        if hasattr(self, "model"):
            found = self.core.statistics(self.now)
            assert found.waiting == len(self.line)
            assert found.waiting_weight == sum(each.weight for each, _ in self.line)
            assert found.admitted == sum(each.weight for each in self.admitted)
            assert (found.refused, found.cancelled) == (self.refused, self.cancelled)
            instants = self.model.instants(self.admitted, self.now)
            assert found.free == instants.count(self.now)


MAX_WAITERS = st.none() | st.integers(0, 5)


class WindowLimiterMachine(LimiterMachine):
    __doc__ = LimiterMachine.__doc__

    @initialize(
        limit=st.integers(1, 6),
        window=st.sampled_from([0.5, 1.0, 2.0, 0.1, 0.3, 0.7]),
        is_closed=st.booleans(),
        max_waiters=MAX_WAITERS,
        now=st.sampled_from([0.0, 5.3, 1e6 + 0.1]),
    )
    def begin(
        self, limit: int, window: float, is_closed: bool, max_waiters: int | None, now: float
    ) -> None:
        meter = Window(limit, window, "closed" if is_closed else "open", block_size=3)
        self.now = now
        self.start(meter, WindowModel(limit, window, is_closed), max_waiters)

    @rule(step=STEPS)
    def wait_decimally(self, step: float) -> None:
        self.wait_until(self.now + step)


class WindowsLimiterMachine(WindowLimiterMachine):
    __doc__ = LimiterMachine.__doc__

    @initialize(
        limit=st.integers(1, 6),
        longer=st.integers(2, 9),
        window=st.sampled_from([0.5, 0.3]),
        max_waiters=MAX_WAITERS,
        now=st.sampled_from([0.0, 5.3]),
    )
    def begin(
        self, limit: int, longer: int, window: float, max_waiters: int | None, now: float
    ) -> None:
        rates = [(limit, window), (longer, 2.1)]
        self.now = now
        each = tuple(Window(number, span, block_size=3) for number, span in rates)
        model = WindowsModel([WindowModel(number, span) for number, span in rates])
        self.start(Windows(each), model, max_waiters)


class BucketLimiterMachine(LimiterMachine):
    __doc__ = LimiterMachine.__doc__

    @initialize(
        limit=st.sampled_from([1, 2, 4, 8]),
        window=st.sampled_from([0.5, 1.0, 4.0]),
        burst=st.integers(1, 6),
        max_waiters=MAX_WAITERS,
    )
    def begin(self, limit: int, window: float, burst: int, max_waiters: int | None) -> None:
        self.start(Bucket(limit, window, burst), BucketModel(limit, window, burst), max_waiters)


TestWindowLimiter = WindowLimiterMachine.TestCase
TestWindowsLimiter = WindowsLimiterMachine.TestCase
TestBucketLimiter = BucketLimiterMachine.TestCase
