"""docs/examples/agent.py with a scripted model, in virtual time: what it does when all is well, and when nothing is."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest
import trio
from agent_kit import Ask, Network, Play, Script, cut, fails, run, said, says, slowly, wants
from trio.testing import MockClock

import agent as example
from agent import Token
from agentflow_trio import Engine
from agentflow_trio.codec import dump, load
from agentflow_trio.testing import assert_no_leaks, cancel_everywhere, explore
from endpoint import Call, Chat, Message, Model, Reply

ABOUT_BEAN: Final = example.question("about bean")
KALE, LEEK = ("research", '{"question": "kale"}'), ("research", '{"question": "leek"}')
RESET: Final = httpx.ReadError("reset")


def contents(chat: Chat, role: str) -> list[str]:
    return [message.content for message in chat.messages if message.role == role]


def tool_answers(ask: Ask) -> list[str]:
    return [message["content"] for message in ask.body["messages"] if message["role"] == "tool"]


# ---------------------------------------------------------------- all is well


async def test_it_says_what_the_model_says(autojump_clock: MockClock) -> None:
    network = Network({"bean": [says("Beans", " are", " green.")]})
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "answered"
    assert str(result.state) == "Beans are green."
    assert result.visits == {"agent/think": 1}


async def test_the_model_is_asked_as_openai_compatible_endpoints_are(
    autojump_clock: MockClock,
) -> None:
    network = Network({"bean": [wants(KALE), says("Fine.")], "kale": [says("Green.")]})
    await run(network, ABOUT_BEAN)
    first, researcher, last = (ask.body for ask in network.asked)
    assert (first["model"], first["stream"]) == ("m1", True)
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    (tool,) = first["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "research"
    assert tool["function"]["description"] == example.researcher.doc
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {"question": {"type": "string"}},
        "required": ["question"],
    }
    assert [tool["function"]["name"] for tool in researcher["tools"]] == ["search", "read"]
    call, answer = last["messages"][-2:]
    assert call["tool_calls"] == [
        {
            "id": "call0",
            "type": "function",
            "function": {"name": "research", "arguments": KALE[1]},
        }
    ]
    assert answer == {"role": "tool", "content": "Green.", "tool_call_id": "call0"}


async def test_researchers_work_at_once_and_are_answered_in_the_order_they_were_asked_for(
    autojump_clock: MockClock,
) -> None:
    network = Network({
        "bean": [wants(KALE, LEEK), says("Both.")],
        "kale": [slowly(says("Kale."), 2.0)],
        "leek": [slowly(says("Leek."), 1.0)],
    })
    result = await run(network, ABOUT_BEAN)
    assert str(result.state) == "Both."
    assert network.times("kale") == network.times("leek") == [0.0]
    assert network.times("bean") == [0.0, 8.0]
    assert contents(result.state, "tool") == ["Kale.", "Leek."]


async def naps(seconds: str) -> str:
    """Sleep."""
    await trio.sleep(float(seconds))
    return f"slept {seconds} s"


async def breaks(words: str) -> str:
    """Fail."""
    raise ValueError(f"nobody knows {words}")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools that do nothing but take time, or fail."""
    for tool in (naps, breaks):
        monkeypatch.setitem(example.TOOLS, tool.__name__, tool)


@pytest.mark.usefixtures("tools")
async def test_tools_are_used_at_once(autojump_clock: MockClock) -> None:
    nap = wants(("naps", '{"seconds": "3"}'), ("naps", '{"seconds": "2"}'))
    network = Network({
        "bean": [wants(KALE), says("Fine.")],
        "kale": [nap, says("Rested.")],
    })
    await run(network, ABOUT_BEAN)
    assert network.times("kale") == [0.0, 3.0]
    assert tool_answers(network.asked[2]) == ["slept 3 s", "slept 2 s"]


async def test_the_tools_find_and_read_pages(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beds").mkdir()
    (tmp_path / "beds" / "kale.md").write_text("# Kale\nGreen kale, and red.\nNo more.\n")
    (tmp_path / "beds" / "leek.md").write_text("A leek is green.\n")
    monkeypatch.chdir(tmp_path)
    assert await example.search("GREEN") == (
        "beds/kale.md: Green kale, and red.\nbeds/leek.md: A leek is green."
    )
    assert await example.search("kale green") == "beds/kale.md: Green kale, and red."
    assert await example.search("onion") == ""
    assert await example.read("beds/leek.md") == "A leek is green.\n"
    for outside in ("../beds", "/etc/hostname", "beds/../../x"):
        with pytest.raises(PermissionError, match="is not below this folder"):
            await example.read(outside)


# ---------------------------------------------------------------- what endpoints send


def replied(*deltas: str, end: str = "stop") -> Message:
    """What comes of chunks with these deltas."""
    reply = Reply()
    for delta in deltas:
        reply.add(f'data: {{"choices": [{{"delta": {delta}}}]}}')
    reply.add(f'data: {{"choices": [{{"delta": {{}}, "finish_reason": "{end}"}}]}}')
    return reply.message()


def test_what_is_not_about_the_message_adds_nothing_to_it() -> None:
    reply = Reply()
    for line in (
        "",
        ": keep-alive",
        "event: message",
        'data: {"choices": [], "usage": {"total_tokens": 7}}',
        'data:{"choices":[{"delta":{"content":"Beans","refusal":null}}]}',
        'data: {"choices": [{"delta": {"content": null}, "finish_reason": "stop"}]}',
        "data: [DONE]",
    ):
        reply.add(line)
    assert reply.message() == Message("assistant", "Beans")


def test_calls_are_put_together_whatever_their_pieces() -> None:
    def call(index: int, *calls: str) -> str:
        parts = ", ".join(f'{{"index": {index}, {text}}}' for text in calls)
        return f'{{"tool_calls": [{parts}]}}'

    message = replied(
        call(1, '"id": "b", "function": {"name": "read", "arguments": ""}'),
        call(0, '"id": "a", "function": {"name": "search", "arguments": "{}"}'),
        call(
            1, '"function": {"arguments": "{\\"file"}', '"function": {"arguments": "\\": 1}"}'
        ),
        end="tool_calls",
    )
    assert message.calls == (Call("a", "search", "{}"), Call("b", "read", '{"file": 1}'))


def test_calls_without_numbers_are_whole() -> None:
    whole = '{"id": "%s", "function": {"name": "read", "arguments": "{}"}}'
    message = replied(f'{{"tool_calls": [{whole % "a"}, {whole % "b"}]}}')
    assert message.calls == (Call("a", "read", "{}"), Call("b", "read", "{}"))


def test_a_conversation_can_be_written_down_and_read_back() -> None:
    call = Message("assistant", "", (Call("a", "read", "{}"),))
    chat = Chat(
        (*ABOUT_BEAN.messages, call, Message("tool", "x", answers="a")), ABOUT_BEAN.tools
    )
    assert load(Chat, dump(chat)) == chat


def test_it_is_short_enough_to_be_read() -> None:
    assert len(Path(example.__file__).read_text(encoding="utf-8").splitlines()) < 200


# ---------------------------------------------------------------- the model fails, and is asked again

ANSWER: Final = says("Fine", " again.")
PASSING: Final[Mapping[str, tuple[Play, float]]] = {
    "500": (fails(500), 1.0),
    "503": (fails(503), 1.0),
    "408": (fails(408), 1.0),
    "429": (fails(429), 1.0),
    "429 with seconds": (fails(429, "7"), 7.0),
    "503 with seconds": (fails(503, "20"), 20.0),
    "429 until a date": (fails(429, "Fri, 31 Dec 1999 23:59:59 GMT"), 1.0),
    "no connection": (Play((httpx.ConnectError("no"),)), 1.0),
    "a reset before the answer": (Play((b"", RESET)), 1.0),
    "a reset midway": (cut(ANSWER, 2, RESET), 1.0),
    "an early end": (cut(ANSWER, 2), 1.0),
    "an early end between tools": (cut(wants(KALE, LEEK), 3), 1.0),
    "silence": (Play((100.0,)), 61.0),
    "silence midway": (cut(ANSWER, 2, 100.0), 61.0),
    "a word now and then": (slowly(ANSWER, 25.0), 61.0),
    "no stream": (Play((b"<h1>Welcome</h1>",)), 1.0),
    "no JSON": (Play((b"data: certainly!\n\n",)), 1.0),
    "half of the JSON": (Play((b'data: {"choices": [{"del',)), 1.0),
    "an error": (Play((b'data: {"error": {"message": "overloaded"}}\n\n',)), 1.0),
    "a list": (Play((b"data: []\n\n",)), 1.0),
    "no delta": (Play((b'data: {"choices": [{"text": "x"}]}\n\n',)), 1.0),
    "parts": (Play((b'data: {"choices": [{"delta": {"content": ["x"]}}]}\n\n',)), 1.0),
    "no text": (Play((b"\xff\xfe\n",)), 1.0),
    "nothing": (Play(), 1.0),
}


@pytest.mark.parametrize("kind", PASSING)
async def test_what_passes_costs_an_attempt(kind: str, autojump_clock: MockClock) -> None:
    fault, again_at = PASSING[kind]
    network, tokens = Network({"bean": [fault, ANSWER]}), list[Token]()
    result = await run(network, ABOUT_BEAN, tokens=tokens)
    assert result.exit == "answered"
    assert str(result.state) == "Fine again."
    assert network.times("bean") == [0.0, again_at]
    assert network.open == 0
    assert said(tokens, "agent/think") == "Fine again."
    assert tokens[-3:] == [
        Token("agent/think", restart=True),
        Token("agent/think", "Fine"),
        Token("agent/think", " again."),
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_the_model_refuses_is_not_asked_again(
    status: int, autojump_clock: MockClock
) -> None:
    network = Network({"bean": [fails(status)]})
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "stopped"
    assert str(result.state).startswith(f"I gave up: the model answered {status}; are ")
    assert len(network.asked) == 1


async def test_an_answer_that_is_too_long_is_not_asked_for_again(
    autojump_clock: MockClock,
) -> None:
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\n'
    network = Network({"bean": [cut(says("Once", " upon"), 3, end)]})
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "stopped"
    assert str(result.state) == "I gave up: the model's answer is longer than it may be"


async def test_a_model_that_is_busy_for_too_long_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    network = Network({"bean": [fails(429, "3600")]})
    result = await run(network, ABOUT_BEAN)
    assert str(result.state) == "I gave up: the model answered 429"
    assert trio.current_time() == 0.0


async def test_a_model_that_never_comes_back_is_given_up(autojump_clock: MockClock) -> None:
    network = Network({"bean": [fails(503)] * 8})
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "stopped"
    assert str(result.state) == "I gave up: the model answered 503"
    assert len(network.asked) == 8


# ---------------------------------------------------------------- tools and researchers fail


@pytest.mark.usefixtures("tools")
async def test_the_model_is_told_what_became_of_tools_that_failed(
    autojump_clock: MockClock,
) -> None:
    asked_for = wants(
        ("breaks", '{"words": "it"}'),
        ("naps", '{"seconds": "99"}'),
        ("naps", '{"seconds": "1"}'),
        ("naps", '{"sec'),
        ("naps", '{"hours": "1"}'),
        ("shout", "{}"),
    )
    network = Network({
        "bean": [wants(KALE), says("Fine.")],
        "kale": [asked_for, says("Mostly.")],
    })
    result = await run(network, ABOUT_BEAN)
    assert str(result.state) == "Fine."
    broken, hung, well, half, wrong, unknown = tool_answers(network.asked[2])
    assert broken == "error: ValueError('nobody knows it')"
    assert hung.startswith("error: DeadlineExceededError(")
    assert well == "slept 1 s"
    assert half.startswith("error: JSONDecodeError(")
    assert wrong.startswith("error: TypeError(")
    assert unknown.startswith(
        "error: LookupError(\"there is no tool 'shout', only search, read"
    )
    assert network.times("kale") == [0.0, 30.0]


@pytest.mark.usefixtures("tools")
async def test_a_tool_that_is_killed_costs_the_other_nothing(autojump_clock: MockClock) -> None:
    nap = wants(("naps", '{"seconds": "20"}'), ("naps", '{"seconds": "2"}'))
    network = Network({"bean": [wants(KALE), says("Fine.")], "kale": [nap, says("Half.")]})
    async with (
        network.client() as client,
        Engine(resources={example.MODEL: Model(client, "m1", 9)}) as engine,
        engine.start(example.agent, ABOUT_BEAN) as going,
    ):
        await trio.sleep(1.0)
        await going.cancel("enough", at="agent/research[0]/use[0]")
        assert (await going.result()).exit == "answered"
    killed, well = tool_answers(network.asked[2])
    assert killed.startswith("error: BranchCancelledError(")
    assert well == "slept 2 s"
    assert network.times("kale") == [0.0, 2.0]


async def test_a_researcher_that_fails_costs_the_other_nothing(
    autojump_clock: MockClock,
) -> None:
    network = Network({
        "bean": [wants(KALE, LEEK), says("Half.")],
        "kale": [fails(400)],
        "leek": [says("Leek.")],
    })
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "answered"
    given_up, found = contents(result.state, "tool")
    assert given_up.startswith("I gave up: the model answered 400")
    assert found == "Leek."


async def test_a_researcher_that_is_killed_costs_the_other_nothing(
    autojump_clock: MockClock,
) -> None:
    network = Network({
        "bean": [wants(KALE, LEEK), says("Half.")],
        "kale": [slowly(says("Kale."), 5.0)],
        "leek": [slowly(says("Leek."), 5.0)],
    })
    async with (
        network.client() as client,
        Engine(resources={example.MODEL: Model(client, "m1", 9)}) as engine,
        engine.start(example.agent, ABOUT_BEAN) as going,
    ):
        await trio.sleep(1.0)
        await going.cancel("enough", at="agent/research[0]")
        assert network.open == 1
        result = await going.result()
    killed, found = contents(result.state, "tool")
    assert killed.startswith("error: BranchCancelledError(")
    assert found == "Leek."


async def test_of_a_long_result_the_model_is_told_the_beginning(
    autojump_clock: MockClock,
) -> None:
    network = Network({
        "bean": [wants(KALE), says("Long.")],
        "kale": [says("x" * 30_000)],
    })
    result = await run(network, ABOUT_BEAN)
    assert contents(result.state, "tool") == ["x" * 20_000]


@pytest.mark.usefixtures("tools")
async def test_it_finishes_its_task_through_all_of_it_together(
    autojump_clock: MockClock,
) -> None:
    tools = wants(("breaks", '{"words": "it"}'), ("naps", '{"seconds": "99"}'), ("nap", "{}"))
    network = Network({
        "bean": [
            *(fails(429, "5"), cut(wants(KALE, LEEK), 3, RESET), wants(KALE, LEEK)),
            *(cut(ANSWER, 2, 100.0), cut(ANSWER, 2), ANSWER),
        ],
        "kale": [fails(500), tools, slowly(ANSWER, 25.0), says("Kale.")],
        "leek": [Play((b"data: nonsense\n\n",)), fails(503, "2"), says("Leek.")],
    })
    tokens = list[Token]()
    result = await run(network, ABOUT_BEAN, tokens=tokens)
    assert result.exit == "answered"
    assert str(result.state) == said(tokens, "agent/think#2") == "Fine again."
    assert contents(result.state, "tool") == ["Kale.", "Leek."]
    assert {ask.who: len(network.times(ask.who)) for ask in network.asked} == {
        "bean": 6,
        "kale": 4,
        "leek": 3,
    }
    assert network.open == 0


# ---------------------------------------------------------------- what is streamed


async def test_every_word_is_heard_once_in_order_with_who_says_it(
    autojump_clock: MockClock,
) -> None:
    words = [f"w{number} " for number in range(50)]
    network = Network({
        "bean": [wants(KALE, LEEK), says(*words)],
        "kale": [says("Kale", ".")],
        "leek": [says("Leek", ".")],
    })
    tokens = list[Token]()
    await run(network, ABOUT_BEAN, tokens=tokens)
    assert not any(token.restart for token in tokens)
    heard = {token.path: [t.text for t in tokens if t.path == token.path] for token in tokens}
    assert heard == {
        "agent/research[0]/think": ["Kale", "."],
        "agent/research[1]/think": ["Leek", "."],
        "agent/think#2": words,
    }


async def test_what_broke_off_is_void_and_said_anew(autojump_clock: MockClock) -> None:
    network = Network({
        "bean": [
            cut(says("One", " two", " three"), 3, RESET),
            cut(says("One", " two", " four"), 4),
            says("Five", "."),
        ]
    })
    tokens = list[Token]()
    await run(network, ABOUT_BEAN, tokens=tokens)
    here = functools.partial(Token, "agent/think")
    assert tokens == [
        *map(here, ["One", " two"]),
        here(restart=True),
        *map(here, ["One", " two", " four"]),
        here(restart=True),
        *map(here, ["Five", "."]),
    ]


async def test_words_are_heard_when_they_are_said(autojump_clock: MockClock) -> None:
    network = Network({"bean": [slowly(says("One", " two"), 3.0)]})
    heard = list[tuple[float, str]]()
    async with (
        network.client() as client,
        Engine(resources={example.MODEL: Model(client, "m1", 9)}) as engine,
        engine.start(example.agent, ABOUT_BEAN) as going,
    ):
        async for token in going.stream(example.TOKENS):
            heard.append((trio.current_time(), token.text))
    assert heard == [(6.0, "One"), (9.0, " two")]


# ---------------------------------------------------------------- it comes to an end


async def test_it_thinks_eight_times_at_most(autojump_clock: MockClock) -> None:
    network = Network({"bean": [wants(KALE)] * 9, "kale": [says("Green.")] * 9})
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "stopped"
    assert "max_visits" in str(result.state)
    assert len(network.times("bean")) == 8
    assert result.visits["agent/research"] == 8


@pytest.mark.usefixtures("tools")
async def test_a_researcher_thinks_eight_times_at_most_and_its_end_is_told(
    autojump_clock: MockClock,
) -> None:
    nap = wants(("naps", '{"seconds": "1"}'))
    network = Network({"bean": [wants(KALE), says("Pity.")], "kale": [nap] * 9})
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "answered"
    assert contents(result.state, "tool")[0].startswith("I gave up: ")
    assert len(network.times("kale")) == 8


async def test_all_agents_share_one_budget_and_retries_are_paid_from_it(
    autojump_clock: MockClock,
) -> None:
    network = Network({
        "bean": [wants(KALE, LEEK), says("Never said.")],
        "kale": [fails(500), fails(500), says("Kale.")],
        "leek": [slowly(says("Leek."), 9.0)],
    })
    result = await run(network, ABOUT_BEAN, budget=4)
    assert len(network.asked) == 4
    assert contents(result.state, "tool") == [
        "I gave up: the budget of calls is spent",
        "Leek.",
    ]
    assert result.exit == "stopped"
    assert str(result.state) == "I gave up: the budget of calls is spent"


async def test_a_spent_budget_says_nothing_of_the_model(autojump_clock: MockClock) -> None:
    names = [f"kale{at}" for at in range(8)]
    calls = [("research", f'{{"question": "{name}"}}') for name in names]
    network = Network({"bean": [wants(*calls)]})
    result = await run(network, ABOUT_BEAN, budget=1)
    assert contents(result.state, "tool") == ["I gave up: the budget of calls is spent"] * 8
    assert result.exit == "stopped"
    assert trio.current_time() == 0.0  # the circuit is closed


# ---------------------------------------------------------------- half a minute without a model


async def test_an_outage_of_thirty_seconds_is_sat_out(autojump_clock: MockClock) -> None:
    network = Network({"bean": [ANSWER]}, down=(0.0, 30.0))
    result = await run(network, ABOUT_BEAN)
    assert result.exit == "answered"
    assert network.times("bean")[:2] == [0.0, 1.0]
    assert network.times("bean")[-1] >= 30.0
    assert len(network.asked) <= 7


async def test_researchers_in_an_outage_ask_hardly_more_often_than_one(
    autojump_clock: MockClock,
) -> None:
    names = ["kale", "leek", "onion", "pea"]
    begin = wants(*(("research", f'{{"question": "{name}"}}') for name in names))
    network = Network(
        {"bean": [slowly(begin, 0.5), ANSWER], **{name: [says(name)] for name in names}},
        down=(1.0, 31.0),
    )
    result = await run(network, ABOUT_BEAN)
    assert contents(result.state, "tool") == names
    in_vain = [ask.at for ask in network.asked if 1.0 <= ask.at < 31.0]
    assert in_vain == [5.0] * 4 + [6.0] * 4 + [16.0, 26.0]
    assert network.asked[1 + len(in_vain)].at == 36.0
    assert trio.current_time() < 50.0


# ---------------------------------------------------------------- whoever asked has left

SMALL: Final[Script] = {
    "bean": [wants(KALE, LEEK), says("Done.")],
    "kale": [cut(says("Kale"), 2), says("Kale")],
    "leek": [wants(("naps", '{"seconds": "1"}')), says("Leek")],
}


async def left() -> None:
    """A small story with all that can be cut off; nothing of it may be left."""
    network = Network(SMALL)
    with assert_no_leaks():
        try:
            result = await run(network, ABOUT_BEAN)
            assert str(result.state) == "Done."
        finally:
            assert network.open == 0


@pytest.mark.usefixtures("tools")
def test_cancelled_at_any_step_it_leaves_nothing_alive() -> None:
    assert cancel_everywhere(left) > 50


@pytest.mark.usefixtures("tools")
def test_whatever_the_order_of_its_tasks_it_comes_to_its_end() -> None:
    explore(left, seeds=12).raise_on_failure()


async def test_a_user_who_leaves_while_the_model_speaks_leaves_nothing(
    autojump_clock: MockClock,
) -> None:
    network = Network({"bean": [slowly(says("One", "two"), 5.0)]})
    with trio.move_on_after(12.0) as scope:
        await run(network, ABOUT_BEAN)
    assert scope.cancelled_caught
    assert trio.current_time() == 12.0
    assert network.open == 0
