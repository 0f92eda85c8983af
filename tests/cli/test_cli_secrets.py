"""Nothing secret is in what a command prints or writes, whatever becomes of the run."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Project

CANARY = "canary-4f1d"
LOGIN = """
    import os

    @define
    class Login:
        key: str = field(metadata=sensitive)
        token: Secret | None = None
        note: str = ""
        urls: tuple[str, ...] = ()
        more: dict[str, int] = field(factory=dict)

        @key.validator
        def _check(self, attribute, value):
            if value == "refuse":
                raise ValueError(f"{value} {self.token}")

    @step
    async def work(login: Login) -> None:
        current_step().report(0.5, f"with {login.key}")
        login.note = f"used {login.key} and {os.environ.get('MY_TOKEN')}"
        login.urls = (f"https://me:{login.key}@host/", "https://me:word@host/")
        login.more = {f"of {login.key}": 1}

    @step
    async def fail(login: Login) -> None:
        raise ValueError(f"{login.key} {login.token.reveal()} {os.environ['MY_TOKEN']}")

    @flow
    def fine() -> Wiring[Login]:
        return [work.then(END)]

    @flow
    def failing() -> Wiring[Login]:
        return [work.then(fail), fail.then(END)]
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", f"{CANARY}-env")


def test_the_final_state_is_printed_without_what_is_sensitive(project: Project) -> None:
    project.write("login.py", LOGIN)
    answer = project.run(
        *("run", "login:fine", "--set", f"key={CANARY}", "--set", f"token={CANARY}-2"),
        *("--events", "e.jsonl"),
    )
    assert answer.code == 0
    assert " ".join(answer.out.split()) == (
        "Login( key=***, token=Secret('***'), note='used *** and ***', "
        "urls=('https://me:***@host/', 'https://me:***@host/'), more={'of ***': 1} )"
    )
    assert CANARY not in answer.err
    events = (project.folder / "e.jsonl").read_text()
    assert "with ***" in events
    assert CANARY not in events


def test_as_json_the_final_state_has_none_of_it_either(project: Project) -> None:
    project.write("login.py", LOGIN)
    answer = project.run("run", "login:fine", "--set", f"key={CANARY}", "--json")
    assert answer.data["state"] == {
        "key": "***",
        "token": None,
        "note": "used *** and ***",
        "urls": ["https://me:***@host/", "https://me:***@host/"],
        "more": {"of ***": 1},
    }


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--json",),
        ("--live",),
        ("--log", "json", "--metrics-port", "0"),
        ("--log", "console", "--report", "report.html"),
    ],
)
def test_nor_has_a_failure(project: Project, options: tuple[str, ...]) -> None:
    project.write("login.py", LOGIN)
    tokens = ("--set", f"key={CANARY}", "--set", f"token={CANARY}-2")
    answer = project.run("run", "login:failing", *tokens, "--events", "e.jsonl", *options)
    assert answer.code == 1
    files = [file for file in project.folder.iterdir() if file.suffix in {".jsonl", ".html"}]
    assert len(files) == 1 + ("--report" in options)
    everything = answer.out + answer.err + "".join(file.read_text() for file in files)
    assert CANARY not in everything
    assert everything.count("*** *** ***") >= 3


def test_values_are_read_but_no_mistake_tells_them(project: Project) -> None:
    project.write("login.py", LOGIN)
    good = {"key": "12345", "token": CANARY}
    (project.folder / "good.json").write_text(json.dumps(good))
    assert project.run("run", "login:fine", "--input", "good.json").code == 0
    assert project.run("run", "login:fine", "--set", "key=12345").code == 0
    for setting, problem in (
        (
            "key=***",
            "$.key: expected str itself, got '***', which stands where it was left out",
        ),
        ("token=***", "$.token: expected Secret itself, got '***', which stands"),
        (
            "key=refuse",
            "$: expected what the class accepts, got ValueError, its text not shown",
        ),
    ):
        answer = project.run("run", "login:fine", "--set", "key=abc", "--set", setting)
        assert answer.code == 2
        assert problem in answer.err
    wrong = {"key": {CANARY: CANARY}, "token": [CANARY]}
    (project.folder / "wrong.json").write_text(json.dumps(wrong))
    answer = project.run("run", "login:fine", "--input", "wrong.json")
    assert answer.code == 2
    assert CANARY not in answer.err
    assert "$.key: expected str, got dict, not shown: it is sensitive" in answer.err
    answer = project.run("run", "login:fine", "--set", "key.sub=1")
    assert "key has no fields" in answer.err


def test_what_looks_like_a_key_is_in_no_complaint(project: Project) -> None:
    project.write("login.py", LOGIN)
    key = "sk-proj-0123456789abcdef"
    project.write("broken.py", f'API_KEY = "{CANARY}"; raise ValueError(API_KEY, "{key}")\n')
    answers = [
        project.run("run", "login:fine", "--set", key),
        project.run("run", "login:fine", "--set", f"note.x={key}"),
        project.run("run", "login:fine", "--timeout", key),
        project.run("run", "login:fine", "--timeout", key, "--json"),
        project.run("run", "login:fine", "--timeout", f"{CANARY}-env"),
        project.run("run", f"login:{key}"),
        project.run("run", "broken.py"),
        project.run("check", "broken.py", "--json"),
        project.run("check", f"login:{key}"),
    ]
    assert [answer.code for answer in answers] == [2] * len(answers)
    for answer in answers:
        assert key not in re.sub(r"\s", "", answer.err + answer.out)
    assert CANARY not in answers[4].err
    for answer in answers[6:8]:
        assert f'API_KEY = "{CANARY}"' not in answer.err + answer.out.replace("\\", "")


def test_a_mistake_in_a_definition_is_told_without_it(project: Project) -> None:
    source = f"""
        @define
        class Nothing:
            pass

        @step(retry="api_key={CANARY}")
        async def work(nothing: Nothing) -> None:
            pass
    """
    project.write("wrong.py", source)
    answer = project.run("check", "wrong.py")
    assert answer.code == 1
    assert "retry must be a RetryPolicy, not 'api_key=***'" in answer.out
    assert CANARY not in answer.out + answer.err
    assert CANARY not in project.run("check", "wrong.py", "--json").out


def test_a_sensitive_key_of_a_board_is_read_and_not_printed(project: Project) -> None:
    source = """
        class Board(SharedState):
            KEY = StateKey("cli_key", str, sensitive=True)

        @step
        async def work(board: Board) -> None:
            pass

        @flow
        def boards() -> Wiring[Board]:
            return [work.then(END)]
    """
    project.write("boards.py", source)
    answer = project.run("run", "boards", "--set", f"cli_key={CANARY}")
    assert answer.code == 0
    assert answer.out == "Board(_values={'cli_key': ***})\n"
    answer = project.run("run", "boards", "--set", f"cli_key.part={CANARY}")
    assert "--set cli_key.part: cli_key has no fields" in answer.err


def test_an_address_that_is_refused_is_named_without_its_password(project: Project) -> None:
    project.write("login.py", LOGIN)
    url = f"ftp://me:{CANARY}@host"
    tokens = ("--set", "key=abcd", "--trace", url)
    answer = project.run("run", "login:fine", *tokens)
    assert CANARY not in answer.out + answer.err
