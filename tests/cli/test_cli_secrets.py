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


HARD = """
    @define
    class Held:
        key: str = field(metadata=sensitive)
        odd: object = None
        by: dict[str, int] = field(factory=dict)

    class Odd:
        def __repr__(self):
            raise ValueError("no repr")

    @step
    async def leave(held: Held) -> None:
        raise SystemExit(held.key)

    @step
    async def end(held: Held) -> None:
        raise BaseException(f"{held.key!r}")

    @step
    async def fail(held: Held) -> None:
        raise KeyError(f"{held.key}")

    @step
    async def odd(held: Held) -> None:
        held.odd = Odd()

    @step
    async def two(held: Held) -> None:
        held.by = {held.key: 1, f"{held.key}": 2, f"'{held.key}'": 3, f"{held.key}{held.key}": 4}

    @flow
    def leaving() -> Wiring[Held]:
        return [leave.then(END)]

    @flow
    def ending() -> Wiring[Held]:
        return [end.then(END)]

    @flow
    def failing() -> Wiring[Held]:
        return [fail.then(END)]

    @flow
    def oddly() -> Wiring[Held]:
        return [odd.then(END)]

    @flow
    def twice() -> Wiring[Held]:
        return [two.then(END)]
"""


@pytest.mark.parametrize("name", ["leaving", "ending", "failing"])
def test_nor_has_what_only_python_would_print_nor_a_simulation_or_its_picture(
    project: Project, name: str
) -> None:
    project.write("hard.py", HARD)
    value = f'{CANARY}\\n"<{CANARY}>"'
    (project.folder / "in.json").write_text(f'{{"key": {json.dumps(value)}}}')
    for options in (
        ("run",),
        ("simulate", "--seeds", "1", "--svg", "s.svg"),
        ("simulate", "--seed", "1", "--svg", "s.svg", "--json"),
    ):
        command, *more = options
        answer = project.run(command, f"hard:{name}", "--input", "in.json", *more)
        assert answer.code == 1
        assert CANARY not in answer.out + answer.err
        assert "***" in answer.out + answer.err or "--json" in options
    svg = project.folder / "s.svg"
    assert svg.exists() == (name == "failing")
    assert not svg.exists() or ("***" in (text := svg.read_text()) and CANARY not in text)


def test_a_value_that_cannot_be_printed_is_named_and_the_rest_is(project: Project) -> None:
    project.write("hard.py", HARD)
    answer = project.run("run", "hard:oddly", "--set", f"key={CANARY}")
    assert answer.code == 0
    assert "odd=<Odd: its repr raised ValueError>" in answer.out
    assert "key=***" in answer.out


def test_what_is_hidden_in_keys_loses_no_entry_and_our_own_keys_stay(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("hard.py", HARD)
    monkeypatch.setenv("OTHER_PASSWORD", "run_id")
    answer = project.run("run", "hard:twice", "--set", f"key={CANARY}", "--json")
    assert answer.data["state"]["by"] == {"***": 2, "'***'": 3, "*** (2)": 4}
    assert "run_id" in answer.data
    answer = project.run("run", "hard:twice", "--set", f"key={CANARY}")
    assert "by={'***': 2, \"'***'\": 3, '***' (3): 4}" in " ".join(answer.out.split())


def test_a_value_that_was_typed_in_a_wrong_way_is_not_repeated(project: Project) -> None:
    project.write("login.py", LOGIN)
    for command in ("run", "simulate"):
        answer = project.run(command, "login:fine", "--input", f'{{"key": "{CANARY}"}}')
        assert answer.code == 2
        assert "--input is the name of a file, not the JSON itself" in answer.err
        assert "Let --input - read it from standard input." in answer.err
        assert CANARY not in answer.err
    answer = project.run("run", "login:fine", "--set", f"key:{CANARY}")
    assert "--set key...: write it as key=value" in answer.err
    assert CANARY not in answer.err


def test_what_other_commands_say_of_files_is_redacted(project: Project) -> None:
    rule = f'[[rule]]\nname = "{CANARY}-env"\ncondition = "x"\n'
    (project.folder / "rules.toml").write_text(rule)
    event = {"event_type": f"{CANARY}-env", "seq": 1}
    (project.folder / "events.jsonl").write_text(json.dumps(event))
    for answer in (
        project.run("alerts", "check", "rules.toml"),
        project.run("alerts", "check", "rules.toml", "--json"),
        project.run("profile", "events.jsonl"),
    ):
        assert "***" in answer.out + answer.err
        assert CANARY not in answer.out + answer.err
