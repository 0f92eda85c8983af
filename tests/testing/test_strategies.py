"""Strategies: everything they draw is valid, and the simplest is simple."""

from __future__ import annotations

import enum
import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

import attrs
import pytest
import trio
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.vendor.pretty import pretty

from agentflow_trio import (
    END,
    AdaptiveDelay,
    AdaptiveLimit,
    AdaptiveTimeout,
    Bulkhead,
    Chaos,
    CircuitBreaker,
    ExtraMissingError,
    Flow,
    FlowFailedError,
    Hedge,
    Next,
    RateLimiter,
    Retry,
    Secret,
    Timeout,
    TTLCache,
    Wiring,
    flow,
    open_pool,
    sensitive,
    step,
)
from agentflow_trio.errors import DeadlineExceededError, RejectedError
from agentflow_trio.robustness import (
    AdaptiveLimitPolicy,
    BulkheadPolicy,
    CachePolicy,
    ChaosPolicy,
    CircuitPolicy,
    HedgePolicy,
    Pipeline,
    PoolPolicy,
    Rate,
    RetryBudget,
    RetryPolicy,
    TokenBucketPolicy,
    WindowPolicy,
    pipeline,
)
from agentflow_trio.testing import (
    Cancel,
    Delay,
    Faults,
    LostReply,
    fault_point,
    record,
    simulate,
)
from agentflow_trio.testing.strategies import (
    adaptive_limit_policies,
    bulkhead_policies,
    cache_policies,
    chaos_policies,
    circuit_policies,
    durations,
    fault_plans,
    flows,
    guards,
    hedge_policies,
    pool_policies,
    rates,
    retry_budgets,
    retry_policies,
    scripted_flows,
    secrets,
    states,
    timeouts,
    token_bucket_policies,
    window_policies,
    wrongs,
)

pytestmark = pytest.mark.slow

ALL = settings(max_examples=200, database=None, derandomize=True)


def simplest(strategy: st.SearchStrategy[Any]) -> Any:
    return find(strategy, lambda _: True, settings=settings(ALL, max_examples=5))


def reaches(
    strategy: st.SearchStrategy[Any], wanted: Callable[[Any], object], *, simple: bool = False
) -> Any:
    """A value that is *wanted*, or the simplest; fails if none is drawn."""
    phases = [Phase.generate, Phase.shrink] if simple else [Phase.generate]
    return find(
        strategy, lambda value: bool(wanted(value)), settings=settings(ALL, phases=phases)
    )


# ---------------------------------------------------------------- times


@given(st.data())
def test_durations_are_sixteenths_within_bounds(data: st.DataObject) -> None:
    shortest = data.draw(durations(2.0))
    longest = data.draw(durations(5.0, shortest=shortest))
    seconds = data.draw(durations(longest, shortest=shortest))
    assert shortest <= seconds <= longest
    assert seconds * 16 == int(seconds * 16)


def test_the_simplest_duration_is_the_shortest() -> None:
    assert simplest(durations()) == 0.0
    assert simplest(durations(3.0, shortest=0.3)) == 0.3125


@pytest.mark.parametrize("bounds", [(1.0, 2.0), (-1.0, 0.0), (math.inf, 0.0), (1.0, math.nan)])
def test_durations_refuse_bounds_that_make_no_sense(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="durations go from 0 or more"):
        durations(bounds[0], shortest=bounds[1])


def test_durations_need_room_for_a_sixteenth() -> None:
    with pytest.raises(
        ValueError, match=r"no sixteenth of a second lies between 0\.01 and 0\.02"
    ):
        durations(0.02, shortest=0.01)


# ---------------------------------------------------------------- policies


@pytest.mark.parametrize(
    ("strategy", "simple"),
    [
        (retry_budgets(), RetryBudget("budget", ratio=0.0, reserve=0, window=0.0625)),
        (
            retry_policies(exact=True),
            RetryPolicy(
                max_attempts=1,
                base_delay=0.0,
                max_delay=0.0,
                multiplier=1.0,
                jitter_kind="none",
            ),
        ),
        (
            circuit_policies(exact=True),
            CircuitPolicy(
                failure_threshold=1,
                window=0.0625,
                min_calls=1,
                recovery_timeout=0.0625,
                half_open_max_duration=math.inf,
            ),
        ),
        (rates(), Rate(1, 0.0625)),
        (window_policies(), WindowPolicy(limit=1, window=0.0625)),
        (token_bucket_policies(), TokenBucketPolicy(limit=1, window=0.0625)),
        (bulkhead_policies(), BulkheadPolicy(limit=1)),
        (adaptive_limit_policies(), AdaptiveLimitPolicy(initial=1, maximum=1)),
        (pool_policies(), PoolPolicy(size=1, close_timeout=0.0625)),
        (cache_policies(), CachePolicy(ttl=math.inf, max_size=None)),
        (timeouts(), 0.0625),
        (chaos_policies(), ChaosPolicy(rate=1.0, errors=(OSError,))),
        (hedge_policies(), HedgePolicy(after=0.0, max_attempts=1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_simplest_policy(strategy: st.SearchStrategy[object], simple: object) -> None:
    assert simplest(strategy) == simple


@given(
    retry=retry_policies(),
    circuit=circuit_policies(),
    window=window_policies() | token_bucket_policies(),
    bulkhead=bulkhead_policies(),
    adaptive=adaptive_limit_policies(),
    timeout=timeouts(),
    pool=pool_policies(),
    chaos=chaos_policies(),
)
def test_guards_of_any_policies_work(
    retry: RetryPolicy,
    circuit: CircuitPolicy,
    window: WindowPolicy | TokenBucketPolicy,
    bulkhead: BulkheadPolicy,
    adaptive: AdaptiveLimitPolicy,
    timeout: float | AdaptiveTimeout,
    pool: PoolPolicy,
    chaos: ChaosPolicy,
) -> None:
    async def make() -> object:
        return object()

    async def program() -> int:
        async def work() -> int:
            async with (
                CircuitBreaker("service", circuit),
                RateLimiter("calls", window),
                Bulkhead("rooms", bulkhead),
                AdaptiveLimit("callers", adaptive),
                Timeout(timeout),
                open_pool(make, policy=pool, name="things") as things,
                things.lend(),
                Chaos("drill", chaos),  # off, unless somebody turns it on
            ):
                return 7

        return await Retry(retry).call(work)

    with simulate(program) as sim:
        sim.run()
        assert sim.result == 7
    sim.assert_no_leaks()


@given(cache_policies())
def test_a_cache_of_any_policy_keeps_what_was_loaded_last(policy: CachePolicy) -> None:
    loads: list[int] = []

    async def load(key: int) -> int:
        loads.append(key)
        await trio.lowlevel.checkpoint()
        return key

    async def program() -> list[int]:
        cache = TTLCache(load, policy)
        return [await cache.get(key) for key in (1, 2, 2)]

    with simulate(program) as sim:
        sim.run()
        assert sim.result == [1, 2, 2]
    assert loads == [1, 2]


@given(policy=hedge_policies())
def test_hedges_of_any_policy_work(policy: HedgePolicy) -> None:
    async def program() -> int:
        return await Hedge(policy).attempts(late)

    async def late(number: int) -> int:
        await trio.sleep(1.0 / number)
        return number

    with simulate(program) as sim:
        sim.run()
        assert 1 <= sim.result <= policy.max_attempts
    sim.assert_no_leaks()


def test_every_kind_of_setting_is_drawn() -> None:
    for kind in ("none", "ratio", "full", "equal", "decorrelated"):
        kinds = retry_policies().map(lambda policy: policy.jitter_kind)
        assert reaches(kinds, kind.__eq__)
    assert reaches(retry_policies(), lambda policy: policy.budget).budget.name == "budget"
    assert reaches(hedge_policies(), lambda policy: policy.budget).budget.name == "hedges"
    learned = reaches(hedge_policies(), lambda policy: not isinstance(policy.after, float))
    assert isinstance(learned.after, AdaptiveDelay)
    assert reaches(circuit_policies(), lambda policy: policy.slow_rate).slow_after > 0
    assert reaches(circuit_policies(), lambda policy: policy.jitter).jitter == 0.5
    assert len(reaches(window_policies(), lambda policy: len(policy.also) == 2).rates) == 3
    assert isinstance(reaches(timeouts(), lambda t: not isinstance(t, float)), AdaptiveTimeout)


POLICIES: list[st.SearchStrategy[object]] = [
    retry_budgets(),
    retry_policies(),
    circuit_policies(),
    rates(),
    window_policies(),
    token_bucket_policies(),
    bulkhead_policies(),
    adaptive_limit_policies(),
    pool_policies(),
    cache_policies(),
    timeouts(),
    chaos_policies(),
    hedge_policies(),
]


@given(policy=st.one_of(POLICIES))
def test_policies_are_shown_as_code_that_makes_them_again(policy: object) -> None:
    shown = pretty(policy)
    assert eval(shown, {**POLICY_CLASSES, "math": math}) == policy  # noqa: S307 - what was drawn here
    assert "\n" not in shown


POLICY_CLASSES: dict[str, object] = {
    kind.__name__: kind
    for kind in (
        AdaptiveDelay,
        AdaptiveLimitPolicy,
        AdaptiveTimeout,
        BulkheadPolicy,
        CachePolicy,
        ChaosPolicy,
        CircuitPolicy,
        HedgePolicy,
        PoolPolicy,
        Rate,
        RetryBudget,
        RetryPolicy,
        TokenBucketPolicy,
        WindowPolicy,
    )
}


def told_of(drawn: st.SearchStrategy[object]) -> str:
    """What Hypothesis prints of the simplest value."""

    @settings(ALL, print_blob=False, phases=[Phase.generate, Phase.shrink])
    @given(it=drawn)
    def fails(it: object) -> None:
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        fails()
    return "".join(line.strip() for line in "\n".join(caught.value.__notes__).splitlines())


def test_what_hypothesis_prints_can_be_pasted() -> None:
    assert "it=CachePolicy(ttl=math.inf, max_size=None)," in told_of(cache_policies())
    shown = told_of(window_policies().filter(lambda policy: len(policy.also) == 1))
    assert "it=WindowPolicy(limit=1, window=0.0625, also=(Rate(1, 0.125),))," in shown
    assert "it=Secret('secret-0')," in told_of(secrets())
    # before 6.165 or so Hypothesis names the class of the error as well, by where it is
    assert "it=LostReply(" in told_of(
        wrongs().filter(lambda wrong: isinstance(wrong, LostReply))
    )


def test_a_secret_that_was_not_drawn_stays_hidden() -> None:
    assert pretty(Secret("sk-7")) == "Secret('***')"


@given(policy=retry_policies(exact=True, longest=3.0, max_attempts=2))
def test_exact_retries_leave_nothing_to_chance(policy: RetryPolicy) -> None:
    assert (policy.jitter_kind, policy.budget) == ("none", None)
    assert policy.max_delay <= 3.0
    assert policy.max_attempts <= 2


@given(policy=hedge_policies(exact=True, longest=3.0, max_attempts=2))
def test_exact_hedges_leave_nothing_to_be_learned(policy: HedgePolicy) -> None:
    assert policy.budget is None
    assert isinstance(policy.after, float)
    assert policy.after <= 3.0
    assert policy.max_attempts <= 2


@given(policy=circuit_policies(exact=True, longest=3.0))
def test_exact_circuits_leave_nothing_to_chance(policy: CircuitPolicy) -> None:
    assert policy.jitter == 0.0
    assert policy.recovery_timeout <= 3.0


# ---------------------------------------------------------------- states


class Mood(enum.Enum):
    CALM = 1
    WILD = 2


class Client:
    """Of which nothing is known."""


@attrs.define
class Note:
    text: str
    replies: list[Note] = attrs.field(factory=list["Note"])
    above: Note | None = None


@attrs.define
class Desk:
    title: str
    mood: Mood
    kind: Literal["news", "essay"]
    key: Secret
    token: str = attrs.field(metadata=sensitive)
    tokens: Annotated[Sequence[str], sensitive]
    first: Note
    pair: tuple[int, bytes]
    many: tuple[float, ...]
    by_name: Mapping[str, bool]
    labels: frozenset[str]
    wait: timedelta
    client: Client = attrs.field(factory=Client, eq=False)
    callback: Callable[[], None] | None = None
    table: dict[str, Client] = attrs.field(factory=dict[str, Client])
    _own: int | None = None
    made: int = attrs.field(default=3, init=False)


@given(desk=states(Desk))
def test_states_are_what_their_fields_say(desk: Desk) -> None:
    assert desk.mood in Mood
    assert desk.kind in {"news", "essay"}
    for text in (desk.token, desk.key.reveal(), *desk.tokens):
        assert text.startswith("secret-")
    assert isinstance(desk.first, Note)
    assert isinstance(desk.pair[1], bytes)
    assert desk.labels <= {*desk.labels}
    assert desk.many == desk.many
    assert isinstance(desk.client, Client)
    assert (desk.callback, desk.table, desk.made) == (None, {}, 3)


def test_states_shrink_to_what_is_empty() -> None:
    desk = simplest(states(Desk))
    assert desk == Desk(
        "",
        Mood.CALM,
        "news",
        Secret("secret-0"),
        "secret-0",
        [],
        Note(""),
        (0, b""),
        (),
        {},
        frozenset(),
        timedelta(0),
    )


def test_a_class_that_holds_itself_is_drawn_three_deep() -> None:
    note = reaches(states(Note), lambda note: note.above and note.above.above, simple=True)
    assert note == Note("", [], Note("", [], Note("")))
    assert note.above.above.above is None


def test_what_is_said_of_a_field_wins() -> None:
    lot = simplest(states(Lot, client=st.builds(Client), own=st.just(8)))
    assert isinstance(lot.client, Client)
    assert lot._own == 8


@attrs.define
class Shop:
    client: Client


@attrs.define
class Lot:
    client: Client
    _own: int = 7


@attrs.define
class Bag:
    bag: int | Client


def test_a_field_of_which_nothing_is_known_is_named() -> None:
    with pytest.raises(TypeError) as caught:
        states(Shop)
    assert "nothing is known of <class" in str(caught.value)
    assert (
        "field 'client' has no default; say what to draw for it: states(Shop, client=...)"
        in (str(caught.value))
    )
    with pytest.raises(TypeError, match="field 'bag' has no default"):
        states(Bag)


def test_a_field_that_is_misspelt_is_refused() -> None:
    with pytest.raises(TypeError, match=r"states\(Shop, clint=...\): it takes client"):
        states(Shop, clint=st.none())


def test_what_is_no_attrs_class_is_refused() -> None:
    nonsense: Any = Client
    with pytest.raises(TypeError, match="takes an attrs class, not"):
        states(nonsense)


def test_secrets_can_be_told_apart() -> None:
    assert simplest(secrets()).reveal() == "secret-0"


# ---------------------------------------------------------------- flows


@attrs.define
class Tally:
    visited: list[str] = attrs.field(factory=list[str])


@step
async def draft(tally: Tally) -> None:
    tally.visited.append("draft")


@step
async def review(tally: Tally, *, good: Next, bad: Next) -> Next:
    tally.visited.append("review")
    return bad


@step
async def publish(tally: Tally) -> None:
    tally.visited.append("publish")
    await fault_point("press")


def names_of(made: Flow[Tally, []]) -> list[str]:
    return [edge.source.name for edge in made.edges]


@given(made=flows(Tally, draft, review, publish))
def test_flows_of_given_steps_run_to_their_end(made: Flow[Tally, []]) -> None:
    with simulate(made, Tally()) as sim:
        sim.run()
        visited = sim.result.state.visited
    chosen = names_of(made)
    assert visited[0] == chosen[0]
    assert visited == [name for name in chosen if name in visited]


def test_the_simplest_flow_is_the_first_step() -> None:
    assert names_of(simplest(flows(Tally, draft, review, publish))) == ["draft"]
    all_three = reaches(flows(Tally, draft, review, publish), lambda made: len(made.edges) == 3)
    assert names_of(all_three) == ["draft", "review", "publish"]


def test_flows_need_steps_of_different_names() -> None:
    for steps in ((), (draft, draft)):
        with pytest.raises(ValueError, match="takes steps of different names, at least one"):
            flows(Tally, *steps)


@given(made=scripted_flows(Tally, longest=2.0))
def test_scripted_flows_run_the_same_way_every_time(made: Flow[Tally, []]) -> None:
    first, second = (record(made, Tally(), seed=seed) for seed in (1, 2))
    assert first.error is None
    assert first.duration == second.duration
    assert first.duration <= 4 * 3 * 2.0 * 2
    assert first.final.state == Tally()


@given(made=scripted_flows(Tally, errors=[OSError("down")]))
def test_scripted_flows_fail_only_as_they_may(made: Flow[Tally, []]) -> None:
    error = record(made, Tally()).error
    assert error is None or isinstance(error, FlowFailedError)
    if error is not None:
        assert all(isinstance(leaf, OSError) for leaf in error.leaves())


def test_every_shape_is_drawn() -> None:
    drawn = scripted_flows(Tally, most=2)
    (edge,) = simplest(drawn).edges
    assert (edge.source.name, edge.targets) == ("step_1", {"": END})
    assert reaches(drawn, lambda made: made.start.branches).start.branches[1].name == "step_1_b"
    inner = reaches(drawn, lambda made: made.start.flow and len(made.start.flow.edges) == 2)
    assert inner.start.flow.edges[1].source.name == "step_1_flow_step_2"
    loop = reaches(drawn, lambda made: "again" in made.start.exits and len(made.edges) == 2)
    assert loop.edges[0].targets["again"] is loop.start
    assert loop.edges[0].targets["left"] is loop.edges[1].source


@given(made=scripted_flows(Tally, guarded=True, longest=2.0))
def test_guarded_flows_fail_only_by_what_guards_them(made: Flow[Tally, []]) -> None:
    error = record(made, Tally()).error
    assert error is None or isinstance(error, FlowFailedError)
    if error is not None:
        assert all(
            isinstance(leaf, RejectedError | DeadlineExceededError) for leaf in error.leaves()
        )


@pytest.mark.parametrize(
    "kind", [AdaptiveLimit, Bulkhead, CircuitBreaker, RateLimiter, Pipeline]
)
def test_every_kind_of_guard_is_drawn(kind: type[object]) -> None:
    found = reaches(guards(), lambda drawn: any(isinstance(guard, kind) for guard in drawn))
    assert len(found) <= 3
    shown = pretty(found)
    names = {**POLICY_CLASSES, "math": math, "pipeline": pipeline}
    names |= {
        one.__name__: one for one in (AdaptiveLimit, Bulkhead, CircuitBreaker, RateLimiter)
    }
    assert pretty(eval(shown, names)) == shown  # noqa: S307 - what was drawn here


def test_the_policies_of_drawn_steps_are_shown() -> None:
    drawn = scripted_flows(Tally, most=1, guarded=True)
    hedged = reaches(drawn, lambda made: made.start.policies.hedge, simple=True)
    assert " with hedge=Hedge(HedgePolicy(after=0.0, max_attempts=1)) -> end>" in pretty(hedged)


def test_a_flow_that_fails_is_shown_line_by_line() -> None:
    @settings(ALL, print_blob=False)
    @given(made=scripted_flows(Tally))
    def small(made: Flow[Tally, []]) -> None:
        if len(made.edges) > 1:
            raise AssertionError("too long")

    with pytest.raises(AssertionError) as caught:
        small()
    (told,) = [note for note in caught.value.__notes__ if "Flow" in note]
    assert "made=<Flow 'flow': step_1 plays" in told


# ---------------------------------------------------------------- fault plans


@flow(name="inner")
def inner() -> Wiring[Tally]:
    return [draft.then(END)]


@flow(name="writing")
def writing() -> Wiring[Tally]:
    return [review.to(good=publish, bad=END), publish.then(END)]


@given(faults=fault_plans(writing, "press"))
def test_plans_name_the_steps_and_no_name_must_be_reached(faults: Faults) -> None:
    assert {*faults.names} <= {"review", "publish", "press"}
    timeline = record(writing, Tally(), faults=faults)
    assert timeline.error is None or isinstance(timeline.error, FlowFailedError)
    if "review" not in faults:
        assert timeline.error is None


def test_steps_within_steps_are_named() -> None:
    drawn = scripted_flows(Tally)
    nested = reaches(drawn, lambda made: made.start.flow is not None)
    plan = reaches(fault_plans(nested), lambda faults: faults.names, simple=True)
    assert plan.names == ("step_1_flow_step_1",)
    at_once = reaches(drawn, lambda made: made.start.branches)
    both = reaches(
        fault_plans(at_once), lambda faults: {"step_1_a", "step_1_b"} <= {*faults.names}
    )
    assert both.names[:2] == ("step_1_a", "step_1_b")


def test_plans_are_shown_as_one_would_write_them() -> None:
    assert repr(simplest(fault_plans("save"))) == "Faults().if_reached()"
    plan = reaches(
        fault_plans("save", errors=[OSError], effects=False),
        lambda faults: faults.names,
        simple=True,
    )
    assert repr(plan) == "Faults(save=script([OSError])).if_reached()"


def test_what_goes_wrong_is_what_was_asked_for() -> None:
    assert simplest(wrongs(errors=[OSError, KeyError])) is OSError
    assert reaches(wrongs(), lambda each: isinstance(each, Delay)).seconds > 0
    assert reaches(wrongs(), lambda each: isinstance(each, LostReply))
    assert reaches(wrongs(cancels=True), lambda each: isinstance(each, Cancel)) == Cancel()


@given(wrong=wrongs(effects=False, errors=[OSError]))
def test_without_effects_there_are_errors_only(wrong: object) -> None:
    assert wrong is OSError


# ---------------------------------------------------------------- without Hypothesis


def test_without_hypothesis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        each for each in sys.modules if each.startswith("agentflow_trio.testing.strat")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ExtraMissingError) as caught:
        importlib.import_module("agentflow_trio.testing.strategies")
    assert str(caught.value) == (
        "agentflow_trio.testing.strategies needs an extra; "
        'run  pip install "agentflow_trio[hypothesis]"'
    )


def test_another_missing_module_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        each for each in sys.modules if each.startswith("agentflow_trio.testing.strat")
    ]:
        monkeypatch.delitem(sys.modules, name)

    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "hypothesis.stateful":
                raise ModuleNotFoundError("no sortedcontainers", name="sortedcontainers")

    monkeypatch.delitem(sys.modules, "hypothesis.stateful")
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="no sortedcontainers"):
        importlib.import_module("agentflow_trio.testing.strategies")
