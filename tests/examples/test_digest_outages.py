"""docs/examples/digest.py and a model that is down, slow, busy or broken: it publishes, and asks no more often than agreed.

First over a real HTTP server, on a clock that leaps when nobody but who hangs is waited for; then in virtual time, where every instant is exact. After
every test no task or thread is left, and no connection: tests/conftest.py and the fixture of the server look at that.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import httpx
import pytest
import trio
from digest_kit import garden, page, quick, quoted, sections, summary
from model_server import (
    Behaviour,
    Handler,
    Model,
    completion,
    condenses,
    crawls,
    hangs_up,
    resets,
    resets_midway,
    says,
    stalls,
)
from trio.testing import MockClock

import digest as example
from agentflow_trio import Engine, RateLimiter, RunResult
from agentflow_trio.events import BatchDone, ExecutionEvent, ItemFailed
from digest import Digest

pytestmark = pytest.mark.slow

NAMES: Final = tuple(f"bean{letter}" for letter in "abcdefghijkl")
ATTEMPTS: Final = 3
OPENS: Final = 12  # so many failures in a row open the circuit
OTHERS: Final = 3  # may be under way meanwhile
AT_ONCE: Final = 4
PATIENCE: Final = 600.0  # seconds for an attempt, where an answer takes some milliseconds
GIVEN_UP: Final = "the model had failed too often to be asked"
LATE: Final = f"the model gave no answer within {PATIENCE:g} s"


class Finished:
    """How many documents are done with."""

    name = "finished"

    def __init__(self) -> None:
        self.documents = 0

    def observe(self, event: ExecutionEvent, /) -> None:
        if isinstance(event, BatchDone | ItemFailed) and event.path.startswith("digest/ask["):
            self.documents += 1


async def published(
    model: Model, clock: MockClock, start: Digest, documents: int
) -> RunResult[Digest]:
    """The digest, where an attempt's time is over as soon as all that are under way hang.

    So none is cut off because the machine is busy, and nobody has to sit out the time of one that hangs.
    """
    finished, hung = Finished(), 0
    clock.rate = 1.0

    async def let_time_pass() -> None:
        nonlocal hung
        while True:
            await trio.sleep(0.002)
            under_way = min(AT_ONCE, documents - finished.documents)
            if under_way and model.hung - hung == under_way:
                hung = model.hung
                clock.jump(PATIENCE)

    start.model = model.url
    async with Engine(observers=[finished]) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(let_time_pass)
        result = await engine.run(quick(attempt_timeout=PATIENCE), start)
        nursery.cancel_scope.cancel()
    assert result.exit == "published"
    return result


def broken(error: str) -> str:
    return f"the model gave no answer ({error})"


def assert_condensed(result: RunResult[Digest], *names: str) -> None:
    told = sections(result)
    for name in names:
        assert f"- {summary(name)}\n" in told[name]
        assert "quoted" not in told[name]


def assert_quoted(result: RunResult[Digest], reasons: Mapping[str, str]) -> None:
    """These and no others, each with its reason."""
    told = sections(result)
    for name, why in reasons.items():
        assert f"- {quoted(name)}\n" in told[name]
        assert f"words, quoted: {why}*\n" in told[name]
    assert page(result).count(", quoted") == len(reasons)


# ---------------------------------------------------------------- one document of three


def half(answer: bytes) -> bytes:
    return answer[: len(answer) // 2]


ANSWER: Final = completion(summary("kale"))
OUTAGES: Final[Mapping[str, tuple[Behaviour, str]]] = {
    "500": (says(b"", status=500), "the model answered 500"),
    "503 with a page": (says(b"<h1>Back soon</h1>", status=503), "the model answered 503"),
    "408": (says(b"", status=408), "the model answered 408"),
    "429": (says(b"", status=429), "the model answered 429"),
    "429 until a date": (
        says(b"", status=429, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"),
        "the model answered 429",
    ),
    "half of the bytes": (
        says(half(ANSWER), promised=len(ANSWER)),
        broken("RemoteProtocolError"),
    ),
    "half of the JSON": (says(half(ANSWER)), broken("JSONDecodeError")),
    "no HTTP": (lambda handler, _: _babble(handler), broken("RemoteProtocolError")),
    "a reset": (resets, broken("ReadError")),
    "a reset midway": (resets_midway, broken("ReadError")),
    "an early end": (hangs_up, broken("RemoteProtocolError")),
    "silence": (stalls, LATE),
    "a byte now and then": (crawls, LATE),
}


def _babble(handler: Handler) -> None:
    handler.wfile.write(b"what is it?\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("kind", OUTAGES)
async def test_what_passes_costs_nothing(
    kind: str, model: Model, mock_clock: MockClock, start: Digest
) -> None:
    fails, _ = OUTAGES[kind]
    model.behaviours["kale"] = [fails, condenses]
    result = await published(model, mock_clock, start, documents=3)
    assert_condensed(result, "bean", "kale", "leek")
    assert model.requests == {"bean": 1, "kale": 2, "leek": 1}


@pytest.mark.parametrize("kind", OUTAGES)
async def test_what_does_not_pass_is_tried_three_times_and_costs_no_other_document(
    kind: str, model: Model, mock_clock: MockClock, start: Digest
) -> None:
    fails, why = OUTAGES[kind]
    model.behaviours["kale"] = [fails]
    result = await published(model, mock_clock, start, documents=3)
    assert_condensed(result, "bean", "leek")
    assert_quoted(result, {"kale": why})
    assert model.requests == {"bean": 1, "kale": ATTEMPTS, "leek": 1}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_a_refusal_is_not_asked_again(status: int, model: Model, start: Digest) -> None:
    model.behaviours["kale"] = [says(b"", status=status), condenses]
    start.model = model.url
    result = await quick().run(start)
    assert result.exit == "published"
    assert_quoted(result, {"kale": f"the model answered {status}"})
    assert model.requests["kale"] == 1


async def test_a_busy_model_is_asked_again_when_it_says(model: Model, start: Digest) -> None:
    asked = list[float]()

    def noting(answer: Behaviour) -> Behaviour:
        def behave(handler: Handler, document: str) -> None:
            asked.append(time.monotonic())
            answer(handler, document)

        return behave

    busy = says(b"", status=429, Retry_After="1")
    model.behaviours["kale"] = [noting(busy), noting(condenses)]
    start.model = model.url
    result = await quick().run(start)
    assert_condensed(result, "bean", "kale", "leek")
    first, second = asked
    assert second - first >= 1.0


async def test_a_model_that_is_busy_for_too_long_is_not_waited_for(
    model: Model, start: Digest
) -> None:
    model.behaviours["kale"] = [says(b"", status=429, Retry_After="3600")]
    start.model = model.url
    result = await quick().run(start)
    assert result.exit == "published"
    assert_quoted(result, {"kale": "the model answered 429"})
    assert model.requests["kale"] == 1


# ---------------------------------------------------------------- many documents


async def test_every_outage_twice_and_the_digest_is_complete(
    model: Model, mock_clock: MockClock, tmp_path: Path
) -> None:
    fails = [behaviour for behaviour, _ in OUTAGES.values()]
    names = [f"bean{letter}" for letter in "abcdefghijklmn"[: len(fails)]]
    for at, name in enumerate(names):
        model.behaviours[name] = [fails[at], fails[(at + 5) % len(fails)], condenses]
    start = garden(tmp_path, *names)
    result = await published(model, mock_clock, start, documents=len(names))
    assert_condensed(result, *names)
    assert model.requests == dict.fromkeys(names, 3)


async def test_a_model_that_is_down_is_asked_twelve_times_not_once_a_document(
    model: Model, tmp_path: Path
) -> None:
    model.otherwise = [says(b"", status=500)]
    start = garden(tmp_path, *NAMES)
    start.model = model.url
    result = await quick().run(start)
    assert result.exit == "published"
    given_up = dict.fromkeys(NAMES, GIVEN_UP)
    heard = dict.fromkeys(model.requests, "the model answered 500")
    assert_quoted(result, {**given_up, **heard})
    assert OPENS <= model.requests.total() <= OPENS + OTHERS


async def test_a_model_that_goes_down_midway_leaves_what_it_said(
    model: Model, tmp_path: Path
) -> None:
    early, late = NAMES[:6], NAMES[6:]
    model.behaviours = {name: [resets, resets_midway, hangs_up] for name in late}
    start = garden(tmp_path, *NAMES)
    start.model = model.url
    result = await quick().run(start)
    assert result.exit == "published"
    assert_condensed(result, *early)
    assert list(result.state.unanswered) == [f"{name}.md" for name in late]
    assert model.requests.total() <= len(early) + ATTEMPTS * len(late)


# ---------------------------------------------------------------- in virtual time

Answer: TypeAlias = Callable[[int, str], httpx.Response]
Asked: TypeAlias = list[tuple[float, str]]


def virtual(monkeypatch: pytest.MonkeyPatch, answer: Answer, takes: float = 0.0) -> Asked:
    """Let *answer* (number of the request, document) stand for the network; return who asks when."""
    asked = Asked()

    async def respond(request: httpx.Request) -> httpx.Response:
        name = request.content.decode().partition('"The ')[2].partition("\\n")[0]
        asked.append((trio.current_time(), name))
        number = len(asked)
        await trio.sleep(takes)
        return answer(number, name)

    network = httpx.MockTransport(respond)
    client = functools.partial(httpx.AsyncClient, transport=network)
    monkeypatch.setattr(httpx, "AsyncClient", client)
    return asked


def fine(name: str) -> httpx.Response:
    return httpx.Response(200, content=completion(summary(name)))


def times(asked: Asked) -> list[float]:
    return [at for at, _ in asked]


async def test_four_at_once_and_all_wait_as_long_as_the_model_says(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def busy_at_first(number: int, name: str) -> httpx.Response:
        if number > 4:
            return fine(name)
        return httpx.Response(429, headers={"Retry-After": "30"})

    asked = virtual(monkeypatch, busy_at_first, takes=1.0)
    start = garden(tmp_path, *NAMES[:6])
    start.model = "http://model/v1"
    result = await example.digest.run(start)
    assert times(asked) == [0.0] * 4 + [31.0] * 4 + [32.0] * 2
    assert_condensed(result, *NAMES[:6])


async def test_an_outage_of_five_seconds_is_sat_out(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def down_at_first(_: int, name: str) -> httpx.Response:
        return fine(name) if trio.current_time() >= 5.0 else httpx.Response(503)

    asked = virtual(monkeypatch, down_at_first)
    start = garden(tmp_path, *NAMES)
    start.model = "http://model/v1"
    result = await example.digest.run(start)
    assert times(asked)[:8] == [0.0] * 4 + [2.0] * 4
    assert all(2.0 + 3.6 <= at <= 2.0 + 4.4 for at in times(asked)[8:])
    assert len(asked) == 8 + len(NAMES)
    assert_condensed(result, *NAMES)


async def test_a_longer_one_opens_the_circuit_and_the_rest_is_not_asked(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = virtual(monkeypatch, lambda _, __: httpx.Response(503))
    start = garden(tmp_path, *NAMES)
    start.model = "http://model/v1"
    result = await example.digest.run(start)
    assert trio.current_time() <= 3 * (2.0 + 4.4)
    assert times(asked)[:8] == [0.0] * 4 + [2.0] * 4
    assert OPENS <= len(asked) <= OPENS + OTHERS
    given_up = dict.fromkeys(NAMES, GIVEN_UP)
    heard = dict.fromkeys([name for _, name in asked], "the model answered 503")
    assert_quoted(result, {**given_up, **heard})


async def test_what_it_said_before_it_went_down_stays(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def down_after_six(number: int, name: str) -> httpx.Response:
        return fine(name) if number <= 6 else httpx.Response(503)

    asked = virtual(monkeypatch, down_after_six)
    start = garden(tmp_path, *NAMES)
    start.model = "http://model/v1"
    result = await example.digest.run(start)
    assert 6 + OPENS <= len(asked) <= 6 + OPENS + OTHERS
    answered = [name for _, name in asked[:6]]
    assert_condensed(result, *answered)
    assert len(result.state.unanswered) == len(NAMES) - 6


async def test_it_asks_120_times_a_minute_at_most(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = virtual(monkeypatch, lambda _, name: fine(name), takes=0.125)
    names = [f"bean{number:03}x" for number in range(130)]
    start = garden(tmp_path, *names)
    start.model = "http://model/v1"
    result = await example.digest.run(start)
    assert times(asked) == [at // 4 * 0.125 + at // 120 * 56.25 for at in range(130)]
    assert_condensed(result, *names)


async def test_waiting_for_the_limiter_takes_nothing_from_the_time_for_an_answer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = virtual(monkeypatch, lambda _, name: fine(name), takes=59.0)
    start = garden(tmp_path, *NAMES[:3])
    start.model = "http://model/v1"
    pace = RateLimiter("requests", limit=1, window=50.0)
    result = await quick(guards=(pace,)).run(start)
    assert times(asked) == [0.0, 50.0, 100.0]
    assert_condensed(result, *NAMES[:3])
