"""Windows and token buckets against models that know only what was admitted when.

Times are taken as they come: multiples of 1/16 and of 1/10, 1/1000, from zero and from far away. Blocks of the log are
tiny, so that a few admissions fill many of them.
"""

from __future__ import annotations

import math

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from limiter_models import Admission, BucketModel, Model, WindowModel, WindowsModel

from agentflow_trio.robustness._limiter_core import Meter
from agentflow_trio.robustness._token_bucket_core import Bucket
from agentflow_trio.robustness._window_core import Edge, Window, Windows

DYADIC = st.integers(0, 40).map(lambda n: n / 16)
DECIMAL = st.integers(0, 25).map(lambda n: n / 10) | st.integers(0, 2500).map(
    lambda n: n / 1000
)
WINDOWS = st.sampled_from([0.5, 1.0, 2.0, 0.1, 0.3, 0.7, 1.1, 0.001])
STARTS = st.sampled_from([0.0, 5.3, 1e6 + 0.1])


class MeterMachine(RuleBasedStateMachine):
    """What holds after any sequence of admissions, refusals, pauses and changes of the limit.

    1. A weight is admitted exactly when the model has room for it now.
    2. Refusing changes nothing: every question has the same answer as before.
    3. `ready_at` is the model's first instant with room, to the last bit, unless there is room already.
    4. Somebody who comes at `ready_at` is admitted.
    5. Somebody who comes one float before is not.
    6. `ready_at` never falls with the weight.
    7. `admitted` is the sum of the weights admitted.
    8. `free` is the largest weight that would be admitted: it is, and one more is not.
    9. `free` is never negative, be the limit lowered below what was admitted.
    10. A fork answers like the original, and going its own way changes nothing in it.
    11. A meter is idle exactly if, by the model, everything is free again; then the largest weight is admitted.
    12. A changed limit holds at once, and what was admitted before counts on.
    13. `capacity` is the largest weight that can ever be admitted; it is admitted after a long pause.
    14. Nothing is ever admitted that makes any window too heavy (checked for every t that matters), or
        takes more out of a bucket than is in it.
    """

    meter: Meter
    model: Model

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.admitted: list[Admission] = []
        self.only_ones = False

    def start(self, meter: Meter, model: Model, now: float) -> None:
        self.meter, self.model, self.now = meter, model, now

    def earliest(self, weight: int) -> float:
        return self.model.earliest(self.admitted, self.now, weight)

    def answers(self) -> tuple[object, ...]:
        ready = [self.meter.ready_at(w) for w in range(1, self.meter.capacity + 1)]
        meter = self.meter
        return (ready, meter.admitted, meter.free(self.now), meter.is_idle(self.now))

    @rule(step=DYADIC)
    def pause(self, step: float) -> None:
        self.now += step

    @rule(data=st.data())
    def admit(self, data: st.DataObject) -> None:
        self.try_one(self.draw_weight(data))

    def draw_weight(self, data: st.DataObject) -> int:
        return 1 if self.only_ones else data.draw(st.integers(1, self.model.largest))

    @rule(times=st.integers(1, 6))
    def admit_ones(self, times: int) -> None:
        for _ in range(times):
            self.try_one(1)

    def try_one(self, weight: int) -> None:
        before = self.answers()
        fits = self.earliest(weight) == self.now
        assert self.meter.admit(weight, self.now) == fits
        if fits:
            self.admitted.append(Admission(self.now, weight))
        else:
            assert self.answers() == before

    @rule()
    def from_now_on_weights_may_differ(self) -> None:
        self.only_ones = False

    @rule(data=st.data())
    def come_when_ready(self, data: st.DataObject) -> None:
        weight = self.draw_weight(data)
        due = self.earliest(weight)
        if due > self.now:
            before = math.nextafter(due, -math.inf)
            assert not self.meter.fork().admit(weight, before)
        assert self.meter.fork().admit(weight, due)
        self.now = due
        self.try_one(weight)

    @rule(limit=st.sampled_from([1, 2, 4, 8, 16]))
    def change(self, limit: int) -> None:
        self.meter.set_limit(limit, self.now, 0)
        self.model.change(self.now, limit)

    @rule()
    def go_on_with_a_fork(self) -> None:
        twin = self.meter.fork()
        before = self.answers()
        for _ in range(self.meter.capacity):
            self.meter.admit(1, self.now)
        self.meter = twin
        assert self.answers() == before

    @precondition(lambda self: self.admitted)
    @rule()
    def rest(self) -> None:
        self.now += 1000.0
        assert self.meter.is_idle(self.now)
        assert self.meter.fork().admit(self.meter.capacity, self.now)

    @invariant()
    def answers_are_those_of_the_model(self) -> None:
        if not hasattr(self, "meter"):
            return
        assert self.meter.capacity == self.model.largest
        assert self.meter.admitted == sum(each.weight for each in self.admitted)
        instants = self.model.instants(self.admitted, self.now)
        assert [
            max(self.now, self.meter.ready_at(w)) for w in range(1, self.model.largest + 1)
        ] == instants
        assert instants == sorted(instants)
        free = self.meter.free(self.now)
        assert free == sum(instant == self.now for instant in instants)
        assert self.meter.is_idle(self.now) == self.is_idle()

    def is_idle(self) -> bool:
        raise NotImplementedError


class WindowMachine(MeterMachine):
    __doc__ = MeterMachine.__doc__

    @initialize(
        limit=st.integers(1, 9),
        window=WINDOWS,
        is_closed=st.booleans(),
        block_size=st.integers(1, 5),
        now=STARTS,
        only_ones=st.booleans(),
    )
    def begin(
        self,
        limit: int,
        window: float,
        is_closed: bool,
        block_size: int,
        now: float,
        only_ones: bool,
    ) -> None:
        self.only_ones = only_ones
        edge: Edge = "closed" if is_closed else "open"
        self.limits = [(now, limit)]
        self.windows = [WindowModel(limit, window, is_closed)]
        meter = Window(limit, window, edge, block_size=block_size)
        self.start(meter, self.windows[0], now)

    @rule(step=DECIMAL)
    def pause_decimally(self, step: float) -> None:
        self.now += step

    def is_idle(self) -> bool:
        return not any(model.used(self.admitted, self.now) for model in self.windows)

    @invariant()
    def no_window_is_too_heavy(self) -> None:
        """For every t: it is enough to look at the windows that begin with an admission."""
        for model in getattr(self, "windows", []):
            for each in self.admitted:
                end = model.over(each)
                inside = [other for other in self.admitted if each.at <= other.at < end]
                assert sum(other.weight for other in inside) <= self.highest_limit(
                    model, each.at, inside[-1].at
                )

    def highest_limit(self, model: WindowModel, since: float, until: float) -> int:
        """The highest of the limits that held in between."""
        if model is not self.windows[0]:
            return model.limit
        ended = [since for since, _ in self.limits[1:]] + [math.inf]
        return max(
            limit
            for (begun, limit), end in zip(self.limits, ended, strict=True)
            if begun <= until and end >= since
        )

    @rule(limit=st.integers(1, 12))
    def change(self, limit: int) -> None:
        super().change(limit)
        self.limits.append((self.now, limit))


class WindowsMachine(WindowMachine):
    __doc__ = MeterMachine.__doc__

    @initialize(
        limit=st.integers(1, 9),
        longer=st.integers(2, 14),
        window=st.sampled_from([0.5, 0.3]),
        is_closed=st.booleans(),
        block_size=st.integers(1, 5),
        now=STARTS,
    )
    def begin(
        self,
        limit: int,
        longer: int,
        window: float,
        is_closed: bool,
        block_size: int,
        now: float,
    ) -> None:
        edge: Edge = "closed" if is_closed else "open"
        self.limits = [(now, limit)]
        rates = [(limit, window), (longer, 2.1)]
        self.windows = [WindowModel(number, span, is_closed) for number, span in rates]
        each = [Window(number, span, edge, block_size=block_size) for number, span in rates]
        self.start(Windows(tuple(each)), WindowsModel(self.windows), now)


class BucketMachine(MeterMachine):
    __doc__ = MeterMachine.__doc__

    @initialize(
        limit=st.sampled_from([1, 2, 4, 8]),
        window=st.sampled_from([0.5, 1.0, 4.0]),
        burst=st.integers(1, 9),
        now=st.sampled_from([0.0, 64.25]),
    )
    def begin(self, limit: int, window: float, burst: int, now: float) -> None:
        self.bucket = BucketModel(limit, window, burst)
        self.start(Bucket(limit, window, burst), self.bucket, now)

    def is_idle(self) -> bool:
        return self.bucket.level(self.admitted, self.now) == self.bucket.burst

    @invariant()
    def nothing_was_taken_that_was_not_there(self) -> None:
        assert not self.admitted or self.bucket.level(self.admitted, self.now) >= 0


TestWindow = WindowMachine.TestCase
TestWindows = WindowsMachine.TestCase
TestBucket = BucketMachine.TestCase
