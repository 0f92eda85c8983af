"""Random programs of tasks that share a limiter, in virtual time, against a model of what callers see.

A run under the profile ``deep`` tries 10,000 programs. Times are decimal or dyadic; what is due at an instant happens
before anything else is done at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from limiter_models import Admission, BucketModel, Model, Waiting, WindowModel, WindowsModel
from typing_extensions import override

from agentflow_trio.errors import RateLimitedError
from agentflow_trio.robustness._limiter import RateLimiter
from agentflow_trio.robustness._limiter_policy import Rate, TokenBucketPolicy, WindowPolicy


class ExactClock(trio.abc.Clock):
    """Jumps to the next deadline as soon as nobody has anything to do.

    MockClock adds the difference to the time, and so overshoots 2.7400000000000007 by one float when it jumps from 0.74.
    """

    def __init__(self) -> None:
        self._now = 0.0

    @override
    def start_clock(self) -> None:
        pass

    @override
    def current_time(self) -> float:
        return self._now

    @override
    def deadline_to_sleep_time(self, deadline: float) -> float:
        self._now = max(self._now, deadline)
        return 0.0


async def settle(waiting: int) -> None:
    """Let everybody go on until all wait; the clock does not jump meanwhile."""
    for _ in range(4 * (waiting + 1)):  # each runs twice at most before it waits again
        await trio.lowlevel.checkpoint()


LONGEST: Final = 25  # a program
EXAMPLES: Final = settings().max_examples
PROGRAMS: Final = 10_000 if EXAMPLES >= 2000 else EXAMPLES


@attrs.frozen
class Pause:
    seconds: float


@attrs.frozen
class Come:
    """A task comes; it may wait so long, and its cancel scope ends after so many seconds."""

    weight: int
    max_wait: float | None = None
    timeout: float | None = None


@attrs.frozen
class Try:
    """Somebody comes who does not want to wait."""

    weight: int


@attrs.frozen
class Cancel:
    """One of those who wait is cancelled, if anybody waits."""

    which: int


@attrs.frozen
class CancelNumber:
    """The one who came with that number is cancelled, if it waits."""

    number: int


@attrs.frozen
class Change:
    """The limit of the first window becomes another one."""

    limit: int


Action: TypeAlias = Pause | Come | Try | Cancel | CancelNumber | Change


@attrs.frozen
class Seen:
    """How it went for somebody: what happened, when, and what the rejection says."""

    what: str
    at: float
    retry_after: float | None = None


@attrs.define
class Story:
    """What everybody saw. ``admissions``: in the order in which bodies began."""

    seen: dict[int, Seen] = attrs.field(factory=dict[int, Seen])
    admissions: list[tuple[int, Admission]] = attrs.field(factory=list[tuple[int, Admission]])

    def admit(self, number: int, weight: int, at: float) -> None:
        self.seen[number] = Seen("admitted", at)
        self.admissions.append((number, Admission(at, weight)))


# ---------------------------------------------------------------- as it is


@attrs.define
class Stage:
    """Where a program happens."""

    limiter: RateLimiter
    story: Story = attrs.field(factory=Story)
    scopes: dict[int, trio.CancelScope] = attrs.field(factory=dict[int, trio.CancelScope])

    def refuse(self, number: int, error: RateLimitedError) -> None:
        self.story.seen[number] = Seen(error.reason, trio.current_time(), error.retry_after)

    async def come(self, number: int, come: Come) -> None:
        with trio.CancelScope() as scope:
            if come.timeout is not None:
                scope.deadline = trio.current_time() + come.timeout
            self.scopes[number] = scope
            try:
                async with self.limiter.weighing(come.weight, max_wait=come.max_wait):
                    self.story.admit(number, come.weight, trio.current_time())
            except RateLimitedError as error:
                self.refuse(number, error)
        del self.scopes[number]
        if scope.cancelled_caught:
            self.story.seen[number] = Seen("cancelled", trio.current_time())

    def attempt(self, number: int, weight: int) -> None:
        try:
            self.limiter.acquire_nowait(weight)
            self.story.admit(number, weight, trio.current_time())
        except RateLimitedError as error:
            self.refuse(number, error)

    def cancel(self, which: int) -> None:
        if self.scopes:
            self.scopes[[*self.scopes][which % len(self.scopes)]].cancel()

    async def act(self, number: int, action: Action, nursery: trio.Nursery) -> None:
        match action:
            case Pause(seconds):
                await trio.sleep(seconds)
            case Come():
                nursery.start_soon(self.come, number, action)
            case Try(weight):
                self.attempt(number, weight)
            case Cancel(which):
                self.cancel(which)
            case CancelNumber(who):
                if who in self.scopes:
                    self.scopes[who].cancel()
            case Change(limit):
                self.limiter.set_limit(limit)
        await settle(len(self.scopes))


async def act_out(limiter: RateLimiter, program: Sequence[Action]) -> Story:
    """Let it happen; it is over when nobody waits any more."""
    stage = Stage(limiter)
    with trio.fail_after(1e6):  # one who waits in vain is found out
        async with trio.open_nursery() as nursery:
            for number, action in enumerate(program):
                await stage.act(number, action, nursery)
    found = limiter.statistics()
    assert (found.waiting, found.waiting_weight) == (0, 0)
    return stage.story


# ---------------------------------------------------------------- as it should be


@attrs.define
class Telling:
    """Tells the same story from a model."""

    model: Model
    now: float
    story: Story = attrs.field(factory=Story)
    line: list[tuple[Waiting, float]] = attrs.field(factory=list[tuple[Waiting, float]])

    @property
    def admitted(self) -> list[Admission]:
        return [admission for _, admission in self.story.admissions]

    def instants(self, line: Sequence[Waiting]) -> list[float]:
        admitted, at, found = self.admitted, self.now, list[float]()
        for waiting in line:
            at = self.model.earliest(admitted, at, waiting.weight)
            admitted.append(Admission(at, waiting.weight))
            found.append(at)
        return found

    def due(self, weight: int) -> float:
        return self.instants([*(each for each, _ in self.line), Waiting(-1, weight)])[-1]

    def serve(self) -> None:
        """Serve whoever can be served now."""
        while self.line and self.instants([self.line[0][0]])[0] == self.now:
            waiting, _ = self.line.pop(0)
            self.story.admit(waiting.number, waiting.weight, self.now)

    def next_instant(self) -> float:
        """When the next of those who wait is served, or cancelled by its timeout."""
        deadlines = [deadline for _, deadline in self.line]
        return min(self.instants([self.line[0][0]])[0], *deadlines)

    def pass_time(self, until: float) -> None:
        while self.line and (at := self.next_instant()) <= until:
            self.now = at
            for entry in [entry for entry in self.line if entry[1] == at]:
                self.line.remove(entry)
                self.story.seen[entry[0].number] = Seen("cancelled", at)
            self.serve()
        if until < math.inf:
            self.now = until

    def refuse(self, number: int, reason: str, weight: int) -> None:
        retry_after = None
        if weight <= self.model.largest:
            retry_after = seconds_to(self.due(weight), self.now)
        self.story.seen[number] = Seen(reason, self.now, retry_after)

    def come(self, number: int, come: Come) -> None:
        due = self.due(come.weight)
        latest = math.inf if come.max_wait is None else self.now + come.max_wait
        deadline = math.inf if come.timeout is None else self.now + come.timeout
        if not self.line and due == self.now:
            self.story.admit(number, come.weight, self.now)
        elif due > latest:
            self.refuse(number, "max_wait", come.weight)
        elif due >= deadline:
            self.refuse(number, "deadline", come.weight)
        else:
            self.line.append((Waiting(number, come.weight, latest), deadline))

    def change(self, limit: int) -> None:
        self.model.change(self.now, limit)
        before, self.line = self.line, []
        lost: list[Waiting] = []
        for waiting, deadline in before:
            fits = waiting.weight <= self.model.largest
            if fits and self.due(waiting.weight) <= waiting.latest:
                self.line.append((waiting, deadline))
            else:
                lost.append(waiting)
        for waiting in lost:
            self.refuse(waiting.number, "lowered", waiting.weight)

    def tell(self, program: Sequence[Action]) -> Story:
        for number, action in enumerate(program):
            match action:
                case Pause(seconds):
                    self.pass_time(self.now + seconds)
                case Come():
                    self.come(number, action)
                case Try(weight) if self.line or self.due(weight) > self.now:
                    self.refuse(number, "full", weight)
                case Try(weight):
                    self.story.admit(number, weight, self.now)
                case Cancel(which):
                    if self.line:
                        waiting, _ = self.line.pop(which % len(self.line))
                        self.story.seen[waiting.number] = Seen("cancelled", self.now)
                case CancelNumber():
                    raise AssertionError("only for programs without a model")
                case Change(limit):
                    self.change(limit)
            self.serve()
        self.pass_time(math.inf)
        return self.story


def seconds_to(instant: float, now: float) -> float:
    """The difference; if that is rounded down, the next number, for it has to reach the instant."""
    seconds = instant - now
    return seconds if now + seconds >= instant else math.nextafter(seconds, math.inf)


# ---------------------------------------------------------------- the programs


DECIMAL: Final = (
    st.integers(0, 25).map(lambda n: n / 10)
    | st.integers(0, 300).map(lambda n: n / 100)
    | st.integers(0, 2500).map(lambda n: n / 1000)
)
DYADIC: Final = st.integers(0, 40).map(lambda n: n / 16)


def programs(
    times: st.SearchStrategy[float], largest: int, limits: st.SearchStrategy[int]
) -> st.SearchStrategy[list[Action]]:
    weights = st.integers(1, largest)
    come = st.builds(
        Come, weights, st.none() | times, st.none() | times.map(lambda t: t or 1.0)
    )
    actions = st.one_of(
        st.builds(Pause, times),
        st.builds(Come, st.just(1)),
        come,
        st.builds(Try, weights),
        st.builds(Cancel, st.integers(0, 9)),
        st.builds(Change, limits),
    )
    return st.lists(actions, max_size=LONGEST)


def usable(program: Sequence[Action], limit: int, cap: int) -> list[Action]:
    """Return *program* without what the limit at that point never allows."""
    found: list[Action] = []
    for action in program:
        if isinstance(action, Change):
            limit = action.limit
        if not isinstance(action, Come | Try) or action.weight <= min(limit, cap):
            found.append(action)
    return found


def check(
    make: Callable[[], RateLimiter], model: Model, program: Sequence[Action], start: float
) -> Story:
    """Act *program* out, and compare every outcome, every instant, and the order."""

    async def main() -> Story:
        await trio.sleep(start)
        assert trio.current_time() == start
        return await act_out(make(), program)

    story = trio.run(main, clock=ExactClock())
    told = Telling(model, start).tell(program)
    assert story.seen == told.seen
    assert story.admissions == told.admissions
    return story


def no_window_is_too_heavy(
    story: Story, rate: Rate, *, is_closed: bool, limits: Sequence[int]
) -> None:
    """For every t the weights admitted in [t, t + window) sum to at most the limit, the highest there was."""
    model = WindowModel(rate.limit, rate.window, is_closed)
    admitted = [admission for _, admission in story.admissions]
    for each in admitted:
        inside = [a for a in admitted if each.at <= a.at < model.over(each)]
        assert sum(a.weight for a in inside) <= max(limits)


@settings(max_examples=PROGRAMS)
@given(data=st.data())
def test_a_window_limiter_does_what_the_model_says(data: st.DataObject) -> None:
    limit = data.draw(st.integers(1, 5))
    window = data.draw(st.sampled_from([0.1, 0.3, 0.7, 1.0, 1.1, 0.5, 2.0]))
    is_closed = data.draw(st.booleans())
    start = data.draw(st.sampled_from([0.0, 5.3, 1234.567]))
    changes = data.draw(st.booleans())
    drawn = data.draw(programs(DECIMAL | DYADIC, 5, st.integers(1, 6)))
    if not changes:
        drawn = [action for action in drawn if not isinstance(action, Change)]
    program = usable(drawn, limit, cap=99)
    policy = WindowPolicy(limit=limit, window=window, edge="closed" if is_closed else "open")
    model = WindowModel(limit, window, is_closed)
    story = check(lambda: RateLimiter("x", policy), model, program, start)
    limits = [limit, *(action.limit for action in program if isinstance(action, Change))]
    no_window_is_too_heavy(story, Rate(limit, window), is_closed=is_closed, limits=limits)


@given(data=st.data())
def test_a_limiter_of_two_windows_does_what_the_model_says(data: st.DataObject) -> None:
    limit, longer = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    window = data.draw(st.sampled_from([0.1, 0.3, 0.5, 1.0]))
    drawn = data.draw(programs(DECIMAL | DYADIC, 5, st.integers(1, 6)))
    program = usable(drawn, limit, cap=longer)
    also = Rate(longer, 2.1)
    policy = WindowPolicy(limit=limit, window=window, also=(also,))
    model = WindowsModel([WindowModel(limit, window), WindowModel(longer, 2.1)])
    story = check(lambda: RateLimiter("x", policy), model, program, 5.3)
    no_window_is_too_heavy(story, also, is_closed=False, limits=[longer])


@given(data=st.data())
def test_a_token_bucket_does_what_the_model_says(data: st.DataObject) -> None:
    limit, burst = data.draw(st.sampled_from([1, 2, 4, 8])), data.draw(st.integers(1, 6))
    window = data.draw(st.sampled_from([0.5, 1.0, 2.0]))
    drawn = data.draw(programs(DYADIC, 5, st.sampled_from([1, 2, 4, 8])))
    program = usable(drawn, 99, cap=burst)
    program = [
        action
        for action in program
        if not isinstance(action, Come | Try) or action.weight <= burst
    ]
    policy = TokenBucketPolicy(limit=limit, window=window, burst=burst)
    check(lambda: RateLimiter("x", policy), BucketModel(limit, window, burst), program, 4.25)


@given(data=st.data())
def test_one_who_is_cancelled_might_never_have_come(data: st.DataObject) -> None:
    """The same program with and without somebody who is cancelled while it waits: all others see the same.

    Only for weights of one: who had to wait behind a heavy one has waited, though it goes away.
    """
    limit = data.draw(st.integers(1, 4))
    pauses = st.builds(Pause, DECIMAL.map(lambda seconds: seconds / 4))
    program: list[Action] = data.draw(
        st.lists(pauses | st.just(Come(1)) | st.just(Come(1)), min_size=3, max_size=LONGEST)
    )
    comes = [at for at, action in enumerate(program) if isinstance(action, Come)]
    who = data.draw(st.sampled_from(comes or [0]))
    where = data.draw(st.integers(who + 1, len(program)))
    nothing = Pause(0.0)
    with_it: list[Action] = [*program[:where], CancelNumber(who), *program[where:]]
    without: list[Action] = [*program[:where], nothing, *program[where:]]
    without[who] = nothing

    async def main(actions: list[Action]) -> Story:
        return await act_out(RateLimiter("x", limit=limit, window=0.7), actions)

    one = trio.run(main, with_it, clock=ExactClock())
    other = trio.run(main, without, clock=ExactClock())
    if one.seen.pop(who, Seen("", 0.0)).what == "cancelled":
        assert one.seen == other.seen
        assert one.admissions == other.admissions
