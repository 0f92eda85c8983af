"""What is sensitive in the state of a run is in no text of that run, nor are secrets: early and late, near and far."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from agentflow_trio import (
    END,
    BranchCancelledError,
    CodecError,
    Engine,
    FlowFailedError,
    KeyedRateLimiter,
    Mismatch,
    Redactor,
    RunCancelledError,
    Secret,
    SharedState,
    StateKey,
    Step,
    Wiring,
    current_step,
    flow,
    fork,
    parallel,
    sensitive,
    step,
)
from agentflow_trio.engine._hiding import Hidden, Veil
from agentflow_trio.events import ExecutionEvent, NodeFailed, Progress, RunEnded
from agentflow_trio.redaction import hide
from agentflow_trio.state import HIDING

FIRST, SECOND, THIRD = "first canary", "second canary", "third canary"


@attrs.define
class Login:
    key: str = attrs.field(default=FIRST, metadata=sensitive)
    tries: int = 0


@attrs.define
class Plain:
    text: str = ""


@step
async def set_second(login: Login) -> None:
    login.key = SECOND


@step
async def set_third(login: Login) -> None:
    login.key = THIRD


@step
async def fail(login: Login) -> None:
    raise ValueError(f"tried {FIRST}, {SECOND} and {login.key}")


@flow
def rotating() -> Wiring[Login]:
    return [set_second.then(set_third), set_third.then(fail), fail.then(END)]


class Collector:
    name = "collector"

    def __init__(self) -> None:
        self.events: list[ExecutionEvent] = []

    def observe(self, event: ExecutionEvent) -> None:
        self.events.append(event)

    def only(self, kind: type[Any]) -> Any:
        (found,) = [event for event in self.events if isinstance(event, kind)]
        return found


def shown(error: BaseException) -> str:
    assert isinstance(error, FlowFailedError)
    text = error.report()
    return text.splitlines()[-1].strip()


async def test_values_that_a_field_had_before_are_hidden_too() -> None:
    with pytest.raises(FlowFailedError) as caught:
        await rotating.run(Login())
    assert shown(caught.value) == "ValueError: tried ***, *** and ***"
    assert str(caught.value.only()) == f"tried {FIRST}, {SECOND} and {THIRD}"


async def test_events_are_redacted_once_before_anybody_sees_them() -> None:
    collector = Collector()
    async with Engine(observers=[collector]) as engine:
        with pytest.raises(FlowFailedError):
            await engine.run(rotating, Login())
        async with engine.start(rotating, Login()) as run:
            events = run.events()
            with pytest.raises(FlowFailedError):
                await run.result()
            read = [event async for event in events]
    assert "canary" not in str(read)
    assert "canary" not in str(collector.events)
    first = next(event for event in collector.events if isinstance(event, NodeFailed))
    assert (first.error, first.message) == ("ValueError", "tried ***, *** and ***")
    ended = next(event for event in collector.events if isinstance(event, RunEnded))
    assert ended.error == "FlowFailedError: ValueError: tried ***, *** and ***"


async def test_what_a_flow_run_by_a_node_hides_the_run_around_hides_too() -> None:
    @step
    async def outer(_: Plain) -> None:
        await rotating.run(Login())

    @flow
    def around() -> Wiring[Plain]:
        return [outer.then(END)]

    collector = Collector()
    async with Engine(observers=[collector]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(around, Plain())
    assert "canary" not in str(collector.events)
    assert "canary" not in caught.value.report()
    assert "tried ***" in str(collector.only(NodeFailed))


async def test_what_the_run_around_hides_a_flow_run_by_a_node_hides_too() -> None:
    @step
    async def inner(plain: Plain) -> None:
        raise ValueError(plain.text)

    @flow
    def within() -> Wiring[Plain]:
        return [inner.then(END)]

    @step
    async def outer(login: Login) -> None:
        login.tries += 1
        await within.run(Plain(f"not {login.key}"))

    with pytest.raises(FlowFailedError) as caught:
        await outer.run(Login())
    tree = caught.value.only()
    assert shown(tree) == "ValueError: not ***"


async def test_progress_and_reasons_are_redacted() -> None:
    secret = Secret("canary of a secret")

    @step
    async def work(login: Login) -> None:
        current_step().report(0.5, f"with {login.key} and {secret.reveal()}")
        await trio.sleep_forever()

    @flow
    def working() -> Wiring[Login]:
        return [Step(parallel(work), name="all").then(END)]

    collector = Collector()
    async with Engine(observers=[collector]) as engine:
        async with engine.start(working, Login()) as run:
            await trio.testing.wait_all_tasks_blocked()
            report = await run.cancel(f"for {FIRST}", at="working/all/work")
            assert report.reason == "for ***"
            result = await run.result()
            (left,) = result.suppressed
            assert isinstance(left, BranchCancelledError)
            assert str(left) == "working/all/work was cancelled: for ***"
        async with engine.start(working, Login()) as run:
            await trio.testing.wait_all_tasks_blocked()
            run.request_cancel(f"as {secret.reveal()} says")
            assert run.snapshot().reason == "as *** says"
            with pytest.raises(
                RunCancelledError, match=r"was cancelled in .*: as \*\*\* says$"
            ):
                await run.result()
    assert "canary" not in str(collector.events)
    texts = [event.text for event in collector.events if isinstance(event, Progress)]
    assert texts == ["with *** and ***"] * 2


async def test_a_snapshot_names_a_keyed_guard_without_what_is_secret_in_its_key(
    autojump_clock: MockClock,
) -> None:
    keyed = KeyedRateLimiter[str]("calls", limit=1, window=2.0)

    @step
    async def work(login: Login) -> None:
        for _ in range(2):
            async with keyed.of(login.key):
                login.tries += 1

    async with Engine() as engine, engine.start(work, Login()) as run:
        await trio.testing.wait_all_tasks_blocked()
        (inside,) = run.snapshot().inside
        assert inside.waits_for == "rate limiter 'calls[***]'"
        assert FIRST not in str(run.snapshot())
        assert (await run.result()).state.tries == 2


async def test_our_own_errors_are_redacted_when_they_become_a_failure() -> None:
    @step
    async def work(login: Login) -> None:
        mismatches = (Mismatch("$.key", "str", f"str {login.key!r}"),)
        raise CodecError(kind="Login", mismatches=mismatches)

    with pytest.raises(FlowFailedError) as caught:
        await work.run(Login())
    error = caught.value.only()
    assert str(error) == "not a valid Login: $.key: expected str, got str '***'"
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


async def test_a_wrong_exit_does_not_show_the_state() -> None:
    class Odd:
        async def prep(self, shared: Login) -> Login:
            return shared

        async def exec(self, prepared: Login) -> Login:
            return prepared

        async def post(self, shared: Login, prepared: Login, result: Login) -> Any:
            return result

    with pytest.raises(FlowFailedError) as caught:
        await Step(Odd()).run(Login())
    assert "returned Login(key='***', tries=0), let it" not in str(caught.value.only())
    assert "returned Login(key='***', tries=0)" in str(caught.value.only())


async def test_parts_of_a_tree_are_redacted_as_the_whole_is() -> None:
    with pytest.raises(FlowFailedError) as caught:
        await rotating.run(Login())
    part = caught.value.subgroup(ValueError)
    assert part is not None
    assert part is not caught.value
    assert shown(part) == "ValueError: tried ***, *** and ***"
    assert shown(copy.copy(caught.value)) == "ValueError: tried ***, *** and ***"


async def test_a_pickled_tree_leaves_out_a_state_that_is_sensitive() -> None:
    with pytest.raises(FlowFailedError) as caught:
        await rotating.run(Login())
    assert caught.value.state == Login(THIRD)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.state is None
    assert (again.path, again.marks) == (caught.value.path, caught.value.marks)
    assert again.report().splitlines()[:2] == caught.value.report().splitlines()[:2]

    @attrs.define
    class Held:
        key: Secret | None = None

    async def refuse(_: Held) -> None:
        raise ValueError(f"refused {FIRST!r}; api_key=abc")

    with pytest.raises(FlowFailedError) as caught:
        await step(refuse).run(Held())
    assert Held in HIDING
    assert pickle.loads(pickle.dumps(caught.value)).state is None


async def test_a_redactor_of_ones_own_is_used_for_the_runs_of_its_engine() -> None:
    @step
    async def work(_: Plain) -> None:
        raise ValueError("case 4711 with password=abc")

    async with Engine(redactor=Redactor(patterns=(r"\d{4}",), standard=False)) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(flow(name="one")(lambda: [work.then(END)]), Plain())
    assert shown(caught.value) == "ValueError: case *** with password=abc"
    with pytest.raises(FlowFailedError) as caught:
        await work.run(Plain())
    assert shown(caught.value) == "ValueError: case 4711 with password=***"


KEY = StateKey("board_key", str, sensitive=True)


class Board(SharedState):
    KEY = KEY
    NOTE = StateKey("note", str)


async def test_sensitive_keys_of_a_board_are_hidden() -> None:
    @step
    async def work(board: Board) -> None:
        board.insert(Board.KEY, SECOND)
        note: str | None = board.get(Board.NOTE)
        raise ValueError(f"{board[Board.KEY]} after {FIRST}; {note}")

    board = Board()
    board.insert(KEY, FIRST)
    board.insert(Board.NOTE, "a note")
    with pytest.raises(FlowFailedError) as caught:
        await work.run(board)
    assert shown(caught.value) == "ValueError: *** after ***; a note"
    assert repr(board) == "Board({'board_key': ***, 'note': 'a note'})"


def test_what_was_hidden_is_bounded_and_the_last_states_are_looked_at_again() -> None:
    hidden = Hidden()
    for number in range(1_500):
        hidden.take(Login(f"value {number}"))
    values = hidden.values()
    assert len(values) == 1_000
    assert values[-1] == "value 1499"
    states = [Login(f"state {number}") for number in range(101)]
    for state in states:
        hidden.see(state)
    hidden.see(states[-1])
    for state in states:
        state.key = f"late {state.key}"
    late = [value for value in hidden.values() if value.startswith("late")]
    assert late == [f"late state {number}" for number in range(1, 101)]
    del state, states
    gc.collect()
    assert hidden.values()[-1] == "late state 100"


def test_a_class_without_room_for_weak_references_is_looked_at_when_it_is_seen() -> None:
    @attrs.define(weakref_slot=False)
    class Small:
        key: str = attrs.field(default=FIRST, metadata=sensitive)

    hidden, small = Hidden(), Small()
    hidden.see(small)
    small.key = SECOND
    assert hidden.values() == (FIRST,)


async def test_a_state_that_cannot_be_looked_into_harms_no_run() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("not now")

        def __deepcopy__(self, memo: object) -> Odd:
            return self

    @attrs.define
    class Held:
        key: str = attrs.field(default=FIRST, metadata=sensitive)
        odd: Odd = attrs.field(factory=Odd, metadata=sensitive)

    @step
    async def work(held: Held) -> None:
        number: Any = 7
        current_step().report(0.5, number)
        raise ValueError(held.key)

    collector = Collector()
    async with Engine(observers=[collector]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(flow(name="one")(lambda: [work.then(END)]), Held())
    assert shown(caught.value) == "ValueError: ***"
    assert collector.only(Progress).text == 7


async def test_a_secret_that_a_node_made_is_hidden_to_the_end_of_the_run_though_it_is_gone() -> (
    None
):
    def fetch() -> str:
        token = Secret(SECOND)
        return f"asked with {token.reveal()}"

    @step
    async def work(plain: Plain) -> None:
        plain.text = fetch()
        plain.text += await current_step().to_thread(fetch)

    @step
    async def refuse(plain: Plain) -> None:
        raise ValueError(plain.text)

    @flow
    def fetching() -> Wiring[Plain]:
        return [work.then(refuse), refuse.then(END)]

    collector = Collector()
    async with Engine(observers=[collector]) as engine:
        with pytest.raises(FlowFailedError) as caught:
            await engine.run(fetching, Plain())
    assert shown(caught.value) == "ValueError: asked with ***asked with ***"
    assert "canary" not in str(collector.events)
    assert hide(f"of no run: {SECOND}") == f"of no run: {SECOND}"


async def test_secrets_that_a_step_replaces_and_values_of_a_board_that_it_overwrites_are_hidden() -> (
    None
):
    @attrs.define
    class Held:
        token: Secret

    @step
    async def work(held: Held) -> None:
        held.token, old = Secret(THIRD), held.token.reveal()
        gc.collect()
        raise ValueError(f"{old}, {held.token.reveal()}")

    with pytest.raises(FlowFailedError) as caught:
        await work.run(Held(Secret(SECOND)))
    assert shown(caught.value) == "ValueError: ***, ***"

    @step
    async def write(board: Board) -> None:
        board.insert(Board.KEY, SECOND)
        board.insert(Board.KEY, THIRD)
        board.remove(Board.KEY)
        raise ValueError(f"{FIRST}, {SECOND}, {THIRD}")

    board = Board()
    board.insert(KEY, FIRST)
    with pytest.raises(FlowFailedError) as caught:
        await write.run(board)
    assert shown(caught.value) == "ValueError: ***, ***, ***"


async def test_what_is_hidden_here_is_what_the_run_hides() -> None:
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(hide(text))

    @step
    async def work(login: Login) -> None:
        text = f"case 4711 of {login.key}, password=abc"
        tell(text)
        await current_step().to_thread(tell, text)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, tell, text)

    @flow
    def working() -> Wiring[Login]:
        return [work.then(END)]

    redactor = Redactor(patterns=(r"\d{4}",), standard=False)
    async with Engine(redactor=redactor) as engine:
        await engine.run(working, Login())
    assert told == ["case *** of ***, password=abc"] * 3
    assert hide(f"case 4711 of {FIRST}, password=abc") == f"case 4711 of {FIRST}, password=***"


def test_values_with_line_breaks_are_hidden_in_a_report_that_puts_something_before_each_line() -> (
    None
):
    @step
    async def work(login: Login) -> None:
        raise ValueError(f"key:\n{login.key}!")

    async def main() -> None:
        await work.run(Login("-canary\n1\n<2>"))

    with pytest.raises(FlowFailedError) as caught:
        trio.run(main)
    assert caught.value.report().splitlines()[-2:] == ["    ValueError: key:", "      ***!"]


def test_a_veil_forgets_its_values_in_a_pickle() -> None:
    veil = Veil(None)
    login = Login(FIRST)
    veil.share().see(login)
    assert veil(f"a {FIRST}") == "a ***"
    again = pickle.loads(pickle.dumps(veil))
    assert again.hidden is None
    assert again(f"a {FIRST}, token=abc") == f"a {FIRST}, token=***"


async def test_the_autojump_clock_changes_nothing(autojump_clock: MockClock) -> None:
    """In a simulation settings are made anew for each run; the redactor stays."""
    login = Login()
    assert fork(login) == login
    with pytest.raises(FlowFailedError) as caught:
        await rotating.run(login, timeout=5.0)
    assert "canary" not in caught.value.report()
