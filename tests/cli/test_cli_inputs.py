"""``--input`` and ``--set``: how the state a run begins with is made, and everything that is said when it does not fit."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Answer, Project

SOURCE = """
    from collections.abc import Mapping

    @define
    class Person:
        name: str
        age: int | None = None

    @define
    class Robot:
        serial: int

    @define
    class Article:
        topic: str
        words: int = 0
        score: float = 0.0
        done: bool = False
        notes: tuple[str, ...] = ()
        label: str | int = ""
        author: Person | None = None
        writer: Person | Robot | None = None
        tags: dict[str, int] = field(factory=dict)
        free: Mapping[str, object] = field(factory=dict)
        anything: object = None
        _secret: str = ""
        derived: int = field(default=0, init=False)

    @step
    async def read(article: Article) -> None: ...

    @flow
    def reading() -> Wiring[Article]:
        return [read.then(END)]

    class Board(SharedState):
        DRAFT = StateKey("draft", str)
        COUNT = StateKey("count", int)

    @step
    async def look(board: Board) -> None: ...

    @flow
    def looking() -> Wiring[Board]:
        return [look.then(END)]
"""


FIELDS = "topic, words, score, done, notes, label, author, writer, tags, free, anything, secret"


@pytest.fixture(autouse=True)
def reading(project: Project) -> None:
    project.write("reading.py", SOURCE)


def answer_to(project: Project, *settings: str, source: str = "") -> Answer:
    options = [option for setting in settings for option in ("--set", setting)]
    if source:
        (project.folder / "input.json").write_text(source, encoding="utf-8")
        options += ["--input", "input.json"]
    return project.run("run", "reading.py:reading", "--json", *options)


def state_of(project: Project, *settings: str, source: str = "") -> dict[str, Any]:
    answer = answer_to(project, *settings, source=source)
    assert answer.code == 0, answer.out
    state: dict[str, Any] = answer.data["state"]
    return state


def refusal_of(project: Project, *settings: str, source: str = "") -> dict[str, Any]:
    answer = answer_to(project, *settings, source=source)
    assert (answer.code, answer.err) == (2, "")
    error: dict[str, Any] = answer.data["error"]
    return error


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("topic=trio", "topic", "trio"),
        ("topic=12", "topic", "12"),
        ("topic=null", "topic", "null"),
        ('topic="quoted"', "topic", "quoted"),
        ("topic=", "topic", ""),
        ("topic=a=b", "topic", "a=b"),
        ("words=12", "words", 12),
        ("score=1", "score", 1.0),
        ("done=true", "done", True),
        ('notes=["a", "b"]', "notes", ["a", "b"]),
        ("label=12", "label", 12),
        ("label=twelve", "label", "twelve"),
        ("author.name=Ada", "author", {"name": "Ada", "age": None}),
        ('author={"name": "Ada", "age": 36}', "author", {"name": "Ada", "age": 36}),
        ("tags.blue=3", "tags", {"blue": 3}),
        ("free.a.b.c=3", "free", {"a": {"b": {"c": 3}}}),
        ("anything.deep=text", "anything", {"deep": "text"}),
        ("anything=text", "anything", "text"),
        ("secret=hush", "secret", "hush"),
    ],
)
def test_a_value_is_json_if_that_fits_its_field_and_text_otherwise(
    project: Project, setting: str, field: str, value: object
) -> None:
    assert state_of(project, "topic=trio", setting)[field] == value


def test_settings_are_laid_over_the_input_one_after_the_other(project: Project) -> None:
    source = (
        '{"topic": "old", "words": 1, "author": {"name": "Ada", "age": 36}, "writer": null}'
    )
    state = state_of(project, "topic=new", "author.age=37", "words=2", "words=3", source=source)
    assert (state["topic"], state["words"]) == ("new", 3)
    assert state["author"] == {"name": "Ada", "age": 37}


def test_a_part_of_something_that_is_null_in_the_input_makes_it(project: Project) -> None:
    assert (
        state_of(project, "author.name=Ada", source='{"topic": "", "author": null}')["author"][
            "name"
        ]
        == "Ada"
    )


def test_a_part_that_only_one_of_several_classes_has_is_found(project: Project) -> None:
    error = refusal_of(project, "topic=x", "writer.nam=Ada")
    assert (
        error["message"] == "--set writer.nam: writer has no field 'nam'; did you mean 'name'?"
    )
    error = refusal_of(project, "topic=x", "writer.zzz=Ada")
    assert (
        error["message"]
        == "--set writer.zzz: writer has no field 'zzz'; there are name, age, serial"
    )


def test_input_can_come_from_stdin(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"topic": "piped"}'))
    assert (
        project.run("run", "reading.py:reading", "--input", "-", "--json").data["state"][
            "topic"
        ]
        == "piped"
    )


def test_a_shared_state_is_filled_by_its_declared_keys(project: Project) -> None:
    answer = project.run(
        "run", "reading.py:looking", "--json", "--set", "draft=12", "--set", "count=12"
    )
    assert answer.data["state"] == {"draft": "12", "count": 12}
    answer = project.run("run", "reading.py:looking", "--set", "draf=12")
    assert (
        answer.err
        == "error: --set draf: the state has no field 'draf'; did you mean 'draft'?\n"
    )


# ---------------------------------------------------------------- mistakes


def test_everything_that_does_not_fit_is_listed_with_path_expected_and_got(
    project: Project,
) -> None:
    error = refusal_of(
        project, "words=many", "author.age=old", "notes=[1]", source='{"nots": 3}'
    )
    assert error["type"] == "UsageError"
    assert error["message"] == "the input is not a valid Article:"
    paths = [line.partition(": expected ")[0] for line in error["details"]]
    assert sorted(paths) == [
        "$.author.age",
        "$.author.name",
        "$.notes[0]",
        "$.nots",
        "$.topic",
        "$.words",
    ]
    assert all(", got " in line for line in error["details"])
    assert error["hint"] == "Give fields with --input FILE.json or --set key=value."


def test_people_get_the_same_list(project: Project) -> None:
    answer = project.run("run", "reading.py:reading")
    assert (answer.code, answer.out) == (2, "")
    first, second, third = answer.err.splitlines()
    assert first == "error: the input is not a valid Article:"
    assert second.startswith("  $.topic: expected ")
    assert third == "Give fields with --input FILE.json or --set key=value."


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("topik=x", "--set topik: the state has no field 'topik'; did you mean 'topic'?"),
        ("derived=3", f"--set derived: the state has no field 'derived'; there are {FIELDS}"),
        ("author.nam=x", "--set author.nam: author has no field 'nam'; did you mean 'name'?"),
        ("words.more=3", "--set words.more: words has no fields"),
        ("tags.blue.dark=3", "--set tags.blue.dark: tags.blue has no fields"),
        ("topic", "--set topic: write it as key=value"),
        ("=3", "--set =3: write it as key=value"),
    ],
)  # fmt: skip
def test_a_setting_without_a_field_is_explained(
    project: Project, setting: str, said: str
) -> None:
    assert refusal_of(project, setting)["message"] == said


def test_all_wrong_settings_are_said_at_once(project: Project) -> None:
    error = refusal_of(project, "topik=x", "words.more=3")
    assert error["message"] == "2 settings are wrong:"
    assert len(error["details"]) == 2


@pytest.mark.parametrize("value", ["[]", '"text"', "3", "false"])
def test_a_part_of_something_that_is_no_object_in_the_input_is_refused(
    project: Project, value: str
) -> None:
    said = refusal_of(project, "author.name=Ada", source=f'{{"topic": "", "author": {value}}}')[
        "message"
    ]
    kind = {list: "an array", str: "a string", int: "a number", bool: "a boolean"}[
        type(json.loads(value))
    ]
    assert said == f"--set author.name: author is {kind} in the input"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "{",
            (
                "input.json is not a valid Article: line 1, column 2: "
                "expected JSON, got Expecting property name enclosed in double quotes"
            ),
        ),
        (
            '{"topic": "a", "author": {"name": "b", "name": "c"}}',
            "input.json is not a valid Article: $: expected JSON, got the key 'name' twice in one object",
        ),
        (
            '{"score": NaN}',
            "input.json is not a valid Article: $: expected JSON, got NaN, which no JSON has",
        ),
        (
            "[" * 100_000,
            "input.json is not a valid Article: $: expected nesting within Python's recursion limit, got more",
        ),
        ("[1]", "input.json must hold a JSON object, not an array"),
        ("1.5", "input.json must hold a JSON object, not a number"),
        ("null", "input.json must hold a JSON object, not null"),
    ],
    ids=["syntax", "twice", "nan", "deep", "array", "number", "null"],
)
def test_an_input_that_is_no_json_object_is_refused(
    project: Project, source: str, said: str
) -> None:
    assert refusal_of(project, source=source)["message"] == said


def test_a_setting_that_is_not_strict_json_is_text(project: Project) -> None:
    twice = '{"name": "a", "name": "b"}'
    assert state_of(project, f"topic={twice}")["topic"] == twice
    error = refusal_of(project, "topic=x", f"author={twice}")
    assert error["message"] == "the input is not a valid Article:"
    [line] = error["details"]
    assert line.startswith("$.author: expected ")


def test_an_input_that_cannot_be_read_is_refused(project: Project) -> None:
    (project.folder / "latin.json").write_bytes(b'{"topic": "\xe9"}')
    for name, why in (
        ("missing.json", "No such file or directory"),
        ("latin.json", "'utf-8' codec can't decode"),
    ):
        answer = project.run("run", "reading.py:reading", "--input", name)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"error: {name} cannot be read: ")
        assert why in answer.err
