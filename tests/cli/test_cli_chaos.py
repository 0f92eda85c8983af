"""``--chaos``: chaos is turned on by name for one command, and what it did is said."""

from __future__ import annotations

import json
from weakref import WeakKeyDictionary

import pytest

from .conftest import Project

NEWS = """
    model = Chaos("model", ChaosPolicy(rate=0.5, errors=ConnectionError))
    search = Chaos("search=web", ChaosPolicy(rate=1.0, latency=0.001))

    @define
    class Article:
        text: str = ""

    async def look_up() -> str:
        async with search:
            return "found"

    @step(guards=(model,), retry=RetryPolicy(max_attempts=3, base_delay=0.001, jitter=0.0))
    async def write(article: Article) -> None:
        article.text = await look_up()

    @flow
    def news() -> Wiring[Article]:
        return [write.then(END)]

    async def program() -> None:
        await look_up()
"""


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own, where other tests have made no chaos."""
    known = WeakKeyDictionary[object, str]()
    monkeypatch.setattr("agentflow_trio.robustness._drill.KNOWN", known)


def said(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("chaos ")]


def test_what_is_not_named_is_off(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py")
    assert (answer.code, answer.out) == (0, "Article(text='found')\n")
    assert "chaos" not in answer.err


def test_at_the_rate_given_it_strikes_and_every_injection_is_a_line(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py", "--chaos", "model=1")
    assert answer.code == 1
    assert said(answer.err) == [
        "chaos model is on, rate 1",
        "chaos model struck 3 of 3: 3 error",
    ]
    assert answer.err.count("news/write chaos model injected ConnectionError\n") == 3


def test_chaos_inside_a_node_is_found_too_and_has_its_own_rate_unless_told(
    project: Project,
) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py", "--chaos", "search=web", "--chaos", "model=0")
    assert answer.code == 0
    assert said(answer.err) == [
        "chaos search=web is on, at its own rate",
        "chaos model is on, rate 0",
        "chaos search=web struck 1 of 1: 1 latency",
        "chaos model struck 0 of 1",
    ]
    assert "news/write chaos search=web injected 0.001 s of latency" in answer.err


def test_a_name_with_an_equals_sign_can_have_a_rate(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py", "--chaos", "search=web=0")
    assert said(answer.err)[-1] == "chaos search=web struck 0 of 1"


def test_json_says_what_it_did(project: Project) -> None:
    project.write("news.py", NEWS)
    told = ("--chaos", "search=web", "--chaos", "model=0")
    assert project.run("run", "news.py", "--json", *told).data["chaos"] == {
        "search=web": {"calls": 1, "struck": 1, "injected": {"latency": 1}},
        "model": {"calls": 1, "struck": 0, "injected": {}},
    }
    assert "chaos" not in project.run("run", "news.py", "--json").data
    failed = project.run("run", "news.py", "--json", "--chaos", "model=1").data
    assert failed["chaos"]["model"]["struck"] == 3
    assert "error" in failed


def test_what_nobody_came_by_is_said(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("simulate", "news.py:program", "--seeds", "2", "--chaos", "model")
    assert said(answer.err)[-1] == "chaos model met nobody"


def test_the_same_seed_is_struck_in_the_same_places(project: Project) -> None:
    project.write("news.py", NEWS)
    runs = [
        said(project.run("run", "news.py", "--chaos", "model", "--seed", str(seed)).err)[-1]
        for seed in (1, 2, 1, 2)
    ]
    assert runs[:2] == runs[2:]
    assert runs[0] != runs[1]


def test_a_log_has_it_as_records(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("run", "news.py", "--chaos", "model=0", "--log", "json")
    events = [json.loads(line)["event"] for line in answer.err.splitlines()]
    assert (events[0], events[-1]) == (
        "chaos model is on, rate 0",
        "chaos model struck 0 of 1",
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            ["modle"],
            (
                "error: --chaos: there is no chaos 'modle'; did you mean 'model'?\n"
                "There is: model, search=web.\n"
            ),
        ),
        (
            ["model=2"],
            (
                "error: --chaos: the rate of chaos 'model' must be a number from 0 to 1, not '2'\n"
                "There is: model, search=web.\n"
            ),
        ),
        (
            ["model", "model=often", "model=", "x"],
            (
                "error: --chaos:\n"
                "  chaos 'model' is given twice\n"
                "  chaos 'model' is given twice\n"
                "  there is no chaos 'x'\n"
                "There is: model, search=web.\n"
            ),
        ),
        (
            ["model=", "search=web=nan"],
            (
                "error: --chaos:\n"
                "  the rate of chaos 'model' must be a number from 0 to 1, not ''\n"
                "  the rate of chaos 'search=web' must be a number from 0 to 1, not 'nan'\n"
                "There is: model, search=web.\n"
            ),
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "simulate"])
def test_what_makes_no_sense_is_refused_before_anything_runs(
    project: Project, command: str, given: list[str], told: str
) -> None:
    project.write("news.py", NEWS)
    options = [word for name in given for word in ("--chaos", name)]
    answer = project.run(command, "news.py:news", *options)
    assert (answer.code, answer.out, answer.err) == (2, "", told)


def test_a_program_without_chaos(project: Project) -> None:
    project.write("bare.py", "async def program() -> None: ...\n")
    answer = project.run("simulate", "bare.py:program", "--chaos", "model")
    assert answer.err == (
        "error: --chaos: there is no chaos 'model'\n"
        "Nothing that the target imports makes a Chaos(...).\n"
    )


def test_a_simulation_is_repeated_with_the_same_chaos(project: Project) -> None:
    project.write("news.py", NEWS)
    answer = project.run("simulate", "news.py:news", "--seeds", "3", "--chaos", "model=1")
    assert answer.code == 1
    assert "replay: agentflow simulate news.py:news --chaos model=1 --replay os0:" in answer.out
    assert said(answer.err)[0] == "chaos model is on, rate 1"
    again = project.run("simulate", "news.py:news", "--chaos", "model=1", "--replay", "os0:")
    assert (again.code, "ConnectionError" in again.out) == (1, True)
