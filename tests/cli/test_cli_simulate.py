"""``agentflow simulate``: schedules are searched, a failure is repeated by what is printed, and drawn."""

from __future__ import annotations

import io
import shlex
import sys
from xml.etree import ElementTree as ET

import pytest

from .conftest import Project

RACE = """
from agentflow_trio.testing import Faults, always, fault_point

async def program():
    account = {"balance": 0}

    async def ann():
        balance = account["balance"]
        await trio.lowlevel.checkpoint()
        account["balance"] = balance + 100

    async def bob():
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        balance = account["balance"]
        await trio.lowlevel.checkpoint()
        account["balance"] = balance + 50

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ann)
        nursery.start_soon(bob)
    await fault_point("end")
    return account["balance"]

def all_is_there(balance):
    assert balance == 150, f"{balance} is left"

def none_is_there(balance):
    assert balance == 0

async def dicing(dice):
    await trio.sleep(dice.random())

async def failing():
    await trio.sleep(2)
    async with trio.open_nursery():
        raise ValueError

async def ticking():
    while True:
        await trio.sleep(1)

async def serving():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticking)
        await trio.Event().wait()

async def hopeless(one, two):
    pass

def plain():
    pass

async def interrupted():
    raise KeyboardInterrupt

at_the_end = Faults(end=always(OSError("no more")))
nowhere = Faults(nowhere=always())
number = 7
"""

NEWS = """
@define
class News:
    topic: str
    read: int = 0

@step
async def write(news: News) -> None:
    await trio.sleep(3)
    news.read += len(news.topic)

@flow
def news() -> Wiring[News]:
    return [write.then(END)]

def is_read(result):
    assert result.state.read == 4, result.state.read
"""


ODD = """
@define
class Nothing:
    pass

@step
async def idle(nothing: Nothing) -> None: ...

@flow
def odd():
    return [idle.then(END)]
"""


@pytest.fixture
def race(project: Project) -> Project:
    project.write("race.py", RACE)
    return project


def test_a_schedule_that_fails_is_told_and_its_command_repeats_it(race: Project) -> None:
    answer = race.run(
        "simulate", "race.py:program", "--check", "all_is_there", "--seeds", "500"
    )
    assert (answer.code, answer.err) == (1, "")
    head, replay, *rest = answer.out.splitlines()
    assert head.startswith("schedule ")
    assert "2 deviations" in head
    assert rest[-3].endswith("50 is left") or rest[-3].endswith("100 is left")
    assert rest[-2].startswith("  race.py:")
    assert rest[-2].endswith(", in all_is_there")
    words = shlex.split(replay.removeprefix("replay: "))
    assert words[:5] == ["agentflow", "simulate", "race.py:program", "--check", "all_is_there"]
    again = race.run(*words[1:])
    assert again.code == 1
    assert again.out.splitlines()[1] == replay


def test_no_failure_is_said(race: Project) -> None:
    answer = race.run("simulate", "race.py:dicing", "--seeds", "7", "--policy", "batch")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("7 schedules (batch), ")
    assert answer.out.endswith(" steps: no failure\n")


def test_json_has_an_error_exactly_if_a_schedule_fails(race: Project) -> None:
    bad = race.run("simulate", "race.py:program", "--check", "all_is_there", "--json")
    assert bad.code == 1
    assert list(bad.data) == ["target", "svg", "policy", "schedules", "steps", "error"]
    error = bad.data["error"]
    assert (error["type"], error["confirmed"], error["deviations"]) == (
        "AssertionError",
        True,
        2,
    )
    assert error["command"].endswith(f"--replay {error['code']}")
    good = race.run("simulate", "race.py:dicing", "--json", "--seeds", "3")
    assert good.code == 0
    assert (
        good.data.items() >= {"target": "race.py:dicing", "svg": None, "schedules": 3}.items()
    )
    assert "error" not in good.data


def test_the_run_that_fails_is_drawn(race: Project) -> None:
    answer = race.run(
        "simulate", "race.py:program", "--check", "all_is_there", "--svg", "race.svg", "--json"
    )
    picture = (race.folder / "race.svg").read_text(encoding="utf-8")
    assert answer.data["svg"] == "race.svg"
    assert answer.data["error"]["code"] in picture
    assert picture.count('class="preemption"') == 2
    assert ET.fromstring(picture).get("role") == "img"  # noqa: S314 - we made it
    assert "is left" in picture


def test_if_none_fails_the_run_of_seed_0_is_drawn(race: Project) -> None:
    assert race.run("simulate", "race.py:dicing", "--seeds", "2", "--svg", "dice.svg").code == 0
    assert "seed 0, 1 task, " in (race.folder / "dice.svg").read_text(encoding="utf-8")


def test_one_seed_is_run_as_it_is(race: Project) -> None:
    well = race.run("simulate", "race.py:program", "--seed", "3", "--check", "all_is_there")
    assert (well.code, well.out) == (0, "seed 3: ended well after 0 s of virtual time\n")
    bad = race.run("simulate", "race.py:failing", "--seed", "3", "--svg", "bad.svg")
    assert bad.code == 1
    assert bad.out.splitlines()[0] == "seed 3: fails after 2 s of virtual time"
    assert bad.out.splitlines()[-2].endswith(", in failing")
    assert "seed 3, 1 task, 2 s" in (race.folder / "bad.svg").read_text(encoding="utf-8")
    data = race.run("simulate", "race.py:failing", "--seed", "3", "--json").data
    assert data["error"]["type"] == "ExceptionGroup"
    assert (data["seed"], data["duration"]) == (3, 2.0)


def test_what_is_wrong_after_one_seed_is_what_the_check_says(race: Project) -> None:
    answer = race.run("simulate", "race.py:program", "--seed", "0", "--check", "none_is_there")
    assert answer.code == 1
    assert "AssertionError" in answer.out


def test_faults_strike(race: Project) -> None:
    answer = race.run("simulate", "race.py:program", "--faults", "at_the_end")
    assert answer.code == 1
    assert "no more" in answer.out
    assert "--faults at_the_end" in answer.out


def test_services_hide_no_deadlock(race: Project) -> None:
    answer = race.run(
        "simulate", "race.py:serving", "--service", "ticking", "--max-steps", "900"
    )
    assert answer.code == 1
    assert "deadlock" in answer.out
    assert "--service ticking --max-steps 900 --replay" in answer.out


def test_a_flow_begins_with_the_state_that_is_given(project: Project) -> None:
    project.write("news.py", NEWS)
    assert project.run("simulate", "news.py", "--set", "topic=trio", "--seed", "1").code == 0
    tokens = ("simulate", "news.py:news", "--set", "topic=trio", "--check", "is_read")
    assert project.run(*tokens, "--seeds", "4").code == 0
    assert project.run(*tokens, "--seed", "1").code == 0
    bad = project.run(*tokens[:3], "topic=x", *tokens[4:])
    assert bad.code == 1
    assert "--check is_read --set topic=x --replay" in bad.out
    assert project.run(*tokens[:3], "topic=x", *tokens[4:], "--seed", "1").code == 1
    missing = project.run("simulate", "news.py")
    assert missing.code == 2
    assert "the input is not a valid News" in missing.err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("race.py", "race.py has 7 async functions and flows; say which one:"),
        ("race.py:progam", "there is no 'progam' in race.py; did you mean 'program'?"),
        (
            "race.py:plain",
            "'plain' in race.py is a function, neither an async function nor a flow",
        ),
        ("race.py:hopeless", "hopeless() needs one, two; a program takes nothing, or dice"),
        ("race.py:program --check alll", "--check: there is no 'alll' in race.py"),
        ("race.py:program --check number", "--check number: 7 is no function"),
        ("race.py:program --faults number", "--faults number: 7 is no Faults(...)"),
        ("race.py:program --faults nowhere", "nowhere"),
        ("race.py:program --replay nonsense", "nonsense"),
        ("race.py:program --replay o0: --seed 1", "--seed and --replay each name one run"),
        ("race.py:program --set a=1", "--input and --set are for the state of a flow"),
        ("race.py:dicing --seeds 1 --svg no/where.svg", "no/where.svg cannot be written"),
        ("empty.py", "there is neither an async function nor a flow in empty.py"),
        ("odd.py:odd", "the shared state must be an attrs class"),
    ],
)
def test_what_makes_no_sense_is_said(race: Project, typed: str, said: str) -> None:
    race.write("empty.py", "x = 1\n")
    race.write("odd.py", ODD)
    answer = race.run("simulate", *shlex.split(typed))
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_ctrl_c_ends_the_search(race: Project) -> None:
    answer = race.run("simulate", "race.py:interrupted")
    assert answer.code == 130
    assert answer.err == "Ctrl-C: the search was ended, and found nothing so far\n"


def test_a_terminal_is_told_how_far_the_search_is(
    race: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    race.run("simulate", "race.py:dicing", "--seeds", "200")
    said = terminal.getvalue().split("\r")
    assert said[1:4] == [f"{count} of 200 schedules" for count in (2, 4, 6)]
    assert said[-1] == "\x1b[K"
    assert len(said) == 102


def test_a_program_that_ends_the_process_ends_it_with_its_own_code(project: Project) -> None:
    project.write("leaving.py", "async def program():\n    raise SystemExit(3)\n", head="")
    with pytest.raises(SystemExit) as left:
        project.run("simulate", "leaving.py:program")
    assert left.value.code == 3
