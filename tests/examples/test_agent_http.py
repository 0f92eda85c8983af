"""docs/examples/agent.py over HTTP: a real server on loopback that streams, fails, hangs and hangs up.

On a clock that goes as others do, but leaps over what an agent would wait for: an attempt that nobody answers, a delay
before the next. So no test sits out a minute, and none fails because the machine is busy.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
import trio
from agent_kit import Play, cut, fails, over_http, said, says, wants
from crunching import crash
from loopback import Behaviour, Model, crawls, hangs_up, resets, stalls
from trio.testing import MockClock

import agent as example
from agent import Token
from agentflow_trio import Engine, Run, RunCancelledError, RunResult, current_step
from agentflow_trio.events import ExecutionEvent, RetryScheduled
from endpoint import Chat, connected

ABOUT_BEAN: Final = example.question("about bean")
KALE, LEEK = ("research", '{"question": "kale"}'), ("research", '{"question": "leek"}')
ANSWER: Final = says("Fine", " again.")
SILENCE: Final = 60.0  # seconds for an attempt
DROPPED, RESET = ConnectionError("dropped"), httpx.ReadError("reset")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are few pages to search."""
    monkeypatch.chdir(tmp_path)


class Leaps:
    """Lets the delay before another attempt pass at once."""

    name = "leaps"

    def __init__(self, clock: MockClock) -> None:
        self._clock = clock

    def observe(self, event: ExecutionEvent, /) -> None:
        if isinstance(event, RetryScheduled):
            self._clock.jump(event.delay)


@asynccontextmanager
async def started(
    url: str, clock: MockClock, state: Chat = ABOUT_BEAN, *, hung: Callable[[], int] = int
) -> AsyncIterator[Run[Chat]]:
    """The agent at work. hung: how many requests will never be answered, of which one at a time is waited for."""
    clock.rate = 1.0

    async def let_time_pass() -> None:
        seen = 0
        while True:
            await trio.sleep(0.002)
            if hung() > seen:
                seen = hung()
                clock.jump(SILENCE)

    async with (
        connected(url, "m1", 40) as model,
        trio.open_nursery() as nursery,
        Engine(
            resources={example.MODEL: model}, observers=[Leaps(clock)], observer_budget=math.inf
        ) as engine,
    ):
        nursery.start_soon(let_time_pass)
        async with engine.start(example.agent, state) as run:
            yield run
        nursery.cancel_scope.cancel()


async def finished(
    endpoint: Model, clock: MockClock, tokens: list[Token] | None = None
) -> RunResult[Chat]:
    async with started(endpoint.url, clock, hung=lambda: endpoint.hung) as run:
        async for token in run.stream(example.TOKENS):
            if tokens is not None:
                tokens.append(token)
        return await run.result()


def play(endpoint: Model, who: str, *plays: Play | Behaviour) -> None:
    endpoint.behaviours[who] = [
        over_http(one) if isinstance(one, Play) else one for one in plays
    ]


# ---------------------------------------------------------------- what passes

PASSING: Final[Mapping[str, Play | Behaviour]] = {
    "500": fails(500),
    "429": fails(429),
    "429 with seconds": fails(429, "7"),
    "a reset": resets,
    "a reset midway": cut(ANSWER, 2, RESET),
    "a hang-up": hangs_up,
    "a hang-up midway": cut(ANSWER, 2, DROPPED),
    "an early end": cut(ANSWER, 2),
    "garbage": Play((b"data: certainly!\n\n",)),
    "a page": Play((b"<h1>Welcome</h1>\n",)),
    "silence": stalls,
    "silence midway": cut(ANSWER, 2, SILENCE),
    "a byte now and then": crawls,
}


@pytest.mark.parametrize("kind", PASSING)
async def test_what_passes_costs_an_attempt(
    kind: str, endpoint: Model, mock_clock: MockClock
) -> None:
    play(endpoint, "bean", PASSING[kind], ANSWER)
    tokens = list[Token]()
    result = await finished(endpoint, mock_clock, tokens)
    assert result.exit == "answered"
    assert str(result.state) == said(tokens, "agent/think") == "Fine again."
    assert endpoint.requests == {"bean": 2}


async def test_it_finishes_its_task_through_all_of_it_together(
    endpoint: Model, mock_clock: MockClock
) -> None:
    tools = wants(("search", '{"words": "no such words"}'), ("read", '{"file": "/"}'))
    play(endpoint, "bean", fails(429, "5"), cut(wants(KALE, LEEK), 3, RESET))
    endpoint.behaviours["bean"] += [over_http(wants(KALE, LEEK)), resets, over_http(ANSWER)]
    play(endpoint, "kale", fails(500), tools, cut(ANSWER, 2, DROPPED), says("Kale."))
    play(endpoint, "leek", Play((b"data: nonsense\n\n",)), hangs_up, says("Leek."))
    result = await finished(endpoint, mock_clock)
    assert result.exit == "answered"
    assert str(result.state) == "Fine again."
    found = [message.content for message in result.state.messages if message.role == "tool"]
    assert found == ["Kale.", "Leek."]
    assert endpoint.requests == {"bean": 5, "kale": 4, "leek": 3}


async def test_a_model_that_is_not_there_is_given_up(mock_clock: MockClock) -> None:
    async with started("http://127.0.0.1:9/v1", mock_clock) as run:  # discard; nobody listens
        result = await run.result()
    assert result.exit == "stopped"
    assert str(result.state) == "I gave up: the model gave no answer (ConnectError)"


async def test_an_address_that_is_none_is_told(mock_clock: MockClock) -> None:
    with pytest.raises(SystemExit) as told:
        async with started("http://127.0.0.1:port", mock_clock):
            pass
    assert told.value.code == (
        "http://127.0.0.1:port is no address of an endpoint: Invalid port: 'port'"
    )


@pytest.mark.cpu
async def test_a_tool_whose_process_is_killed_costs_the_other_nothing(
    endpoint: Model, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def compute() -> str:
        await current_step().to_process(crash)
        return "computed"

    monkeypatch.setitem(example.TOOLS, "compute", compute)
    tools = wants(("compute", ""), ("search", '{"words": "no such words"}'))
    play(endpoint, "bean", wants(KALE), ANSWER)
    play(endpoint, "kale", tools, says("Half."))
    result = await finished(endpoint, mock_clock)
    assert result.exit == "answered"
    told = [m["content"] for m in endpoint.asked[2][2]["messages"] if m["role"] == "tool"]
    assert told[0].startswith("error: WorkerDiedError(")
    assert told[1] == ""


@pytest.mark.parametrize("midway", [False, True])
async def test_a_user_who_leaves_leaves_nothing_open(
    midway: bool, endpoint: Model, mock_clock: MockClock
) -> None:
    play(endpoint, "bean", cut(ANSWER, 2, SILENCE) if midway else stalls)
    async with started(endpoint.url, mock_clock) as run:
        with run.stream(example.TOKENS) as tokens:
            await trio.to_thread.run_sync(endpoint.arrived.wait)
            if midway:
                assert (await tokens.__anext__()).text == "Fine"
        report = await run.cancel("enough")
        assert [cut.path for cut in report.cut_off] == ["agent/think"]
        with pytest.raises(RunCancelledError):
            await run.result()


async def test_the_key_is_sent_and_shown_nowhere(
    endpoint: Model, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-secret\n")
    play(endpoint, "bean", Play((b"who are you, sk-secret?",), 401))
    result = await finished(endpoint, mock_clock)
    assert [key for _, key, _ in endpoint.asked] == ["Bearer sk-secret"]
    assert [path for path, _, _ in endpoint.asked] == ["/v1/chat/completions"]
    assert result.exit == "stopped"
    assert "sk-secret" not in repr(result)


@pytest.mark.parametrize("key", ["sk-\nsecret", "sk-\N{SNOWMAN}secret"])
async def test_a_key_that_cannot_be_sent_is_shown_nowhere_either(
    key: str, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(SystemExit) as told:
        async with started("http://127.0.0.1:9/v1", mock_clock):
            pass
    assert told.value.code == "OPENAI_API_KEY has characters that no key has"


# ---------------------------------------------------------------- as a command


def python(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = os.pathsep.join(str(Path(folder).resolve()) for folder in given if folder)
    names = ("OPENAI_BASE_URL", "OPENAI_MODEL", "PYTHONSAFEPATH")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, example.__file__, *arguments],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**inherited, "PYTHONPATH": places, "PYTHONIOENCODING": "utf-8", **environ},
    )


async def test_as_a_command_it_prints_the_answer(endpoint: Model, tmp_path: Path) -> None:
    (tmp_path / "kale.md").write_text("Kale is green.\n", encoding="utf-8")
    play(endpoint, "bean", wants(KALE), cut(ANSWER, 2, DROPPED), ANSWER)
    play(endpoint, "kale", wants(("search", '{"words": "kale"}')), says("Green."))
    call = ["about bean", "--url", endpoint.url]
    run = lambda: python(*call, cwd=tmp_path, OPENAI_MODEL="m2")  # noqa: E731
    done = await trio.to_thread.run_sync(run)
    assert done.stdout == "Fine\n(again) Fine again.\n"
    assert done.returncode == 0
    assert "broke off (RemoteProtocolError)" in done.stderr
    assert {body["model"] for _, _, body in endpoint.asked} == {"m2"}
    found = endpoint.asked[2][2]["messages"][-1]["content"]
    assert found == "kale.md: Kale is green."


async def test_a_command_that_has_to_give_up_says_why(
    endpoint: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(endpoint, "bean", fails(404))
    command = [example.__file__, "about bean", "--url", endpoint.url, "--model", "m1"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as told:
        await example.main()
    assert str(told.value.code).startswith("I gave up: the model answered 404; are ")


async def test_a_command_without_a_model_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", [example.__file__, "about bean"])
    with pytest.raises(SystemExit) as told:
        await example.main()
    assert told.value.code == 2
    assert "the following arguments are required: --url, --model" in capsys.readouterr().err


async def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.setattr(
        sys, "argv", [example.__file__, "about bean", "--url", "http://x", "--model", "m1"]
    )
    with pytest.raises(SystemExit) as told:
        await example.main()
    assert told.value.code == "to ask a model, run  pip install httpx"
