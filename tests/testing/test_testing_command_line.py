"""``python -m agentflow_trio.testing``: what can be typed, and what is answered."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

import agentflow_trio
from agentflow_trio.testing import __main__ as command_line
from agentflow_trio.testing._named import Named, NotFoundError
from agentflow_trio.testing._own_frames import own_traceback

HOME: Final = Path(agentflow_trio.__file__).parents[1]

RACE: Final = """
from __future__ import annotations
from typing import Any
import attrs, trio
from agentflow_trio import END, Wiring, flow, step
from agentflow_trio.testing import Faults, always, fault_point

class Store:
    def __init__(self):
        self.number = 0

    async def add(self):
        number = self.number
        await trio.lowlevel.checkpoint()
        self.number = number + 1

async def program():
    store = Store()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.add)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        nursery.start_soon(store.add)
    await fault_point("end")
    return store.number

def check(number):
    assert number == 2

async def fails(dice):
    await trio.sleep(dice.random())
    raise ValueError("as always")

async def ticks():
    while True:
        await trio.sleep(1)

async def serves():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticks)
        await trio.Event().wait()

@attrs.define
class Cart:
    items: int = 0

@step
async def add_one(cart: Cart) -> None:
    cart.items += 1

@flow
def shop() -> Wiring[Cart]:
    return [add_one.then(END)]

def two_items(result):
    assert result.state.items == 2

full = Cart(1)
at_the_end = Faults(end=always(OSError))
nowhere = Faults(nowhere=always())
number = 3

def plain():
    pass

async def needs(a, b):
    pass

def first_cut_only(cut):
    assert cut.step < 2

def all_well(cut):
    assert cut.cancelled or cut.result == 2
"""


@attrs.frozen
class Answer:
    """What was answered."""

    code: int
    out: str
    err: str


Answered = Callable[[str], Answer]


@pytest.fixture
def answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Answered]:
    """Type something after ``python -m agentflow_trio.testing``, in this process, beside race.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = [*sys.modules]
    tmp_path.joinpath("race.py").write_text(RACE)

    def answer(typed: str) -> Answer:
        capsys.readouterr()
        try:
            code = command_line.main(shlex.split(typed))
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    yield answer
    for name in [*sys.modules]:
        if name not in before:
            del sys.modules[name]


# ---------------------------------------------------------------- searching


def test_no_failure_is_exit_code_0(answered: Answered) -> None:
    answer = answered("race.py:program --seeds 20")
    assert re.fullmatch(r"20 schedules \(portfolio\), \d+ steps: no failure\n", answer.out)
    assert (answer.code, answer.err) == (0, "")


def test_a_failure_is_exit_code_1_with_the_frames_of_the_program_and_a_command(
    answered: Answered, tmp_path: Path
) -> None:
    answer = answered("race.py:program --check check --max-steps 500")
    assert answer.code == 1
    own, _, summary = answer.out.partition("\n\n")
    assert own.startswith(
        f'Traceback (most recent call last):\n  File "{tmp_path}/race.py", line 28, in check\n'
    )
    assert own.endswith("\nAssertionError")
    assert re.match(r"schedule \d+ fails \([a-z-]+, seed \d+; ", summary)
    (command,) = re.findall(
        r"^replay: python -m agentflow_trio\.testing (.*)$", summary, re.MULTILINE
    )
    assert command.startswith("race.py:program --check check --max-steps 500 --replay o")
    again = answered(command)
    assert again.code == 1
    assert again.out.startswith(own)
    assert "schedule 1 fails" in again.out
    assert f"replay: python -m agentflow_trio.testing {command}\n" in again.out
    # Without the check nothing fails.
    code = command.rpartition(" ")[2]
    assert answered(f"race.py:program --replay {code}").code == 0


def test_the_command_says_all_that_was_typed_but_how_to_search(answered: Answered) -> None:
    typed = "race.py:serves --service ticks --service x --control shuffle"
    answer = answered(f"{typed} --seeds 3 --seed 5 --policy batch")
    assert answer.code == 1
    assert "deadlock: no task can ever go on" in answer.out
    assert "Traceback" not in answer.out
    assert f"replay: python -m agentflow_trio.testing {typed} --replay b" in answer.out


def test_faults_are_found_by_name(answered: Answered) -> None:
    answer = answered("race.py:program --faults at_the_end")
    assert answer.code == 1
    assert "\nOSError\n" in answer.out
    assert " race.py:program --faults at_the_end --replay " in answer.out
    answer = answered("race.py:program --faults nowhere")
    assert answer.code == 2
    assert "nothing asked for the faults planned at 'nowhere'" in answer.err


@pytest.mark.parametrize(("state", "code"), [("Cart", 1), ("full", 0)])
def test_a_flow_is_searched_with_its_state(answered: Answered, state: str, code: int) -> None:
    answer = answered(f"race.py:shop --state {state} --check two_items --seeds 3")
    assert answer.code == code, answer.err


def test_a_module_and_another_file_can_be_named(answered: Answered, tmp_path: Path) -> None:
    assert answered("race:program --seeds 1").code == 0
    tmp_path.joinpath("judge.py").write_text("def check(number): assert number > 2")
    answer = answered("race.py:program --check judge.py:check")
    assert answer.code == 1
    assert "in check" in answer.out


# ---------------------------------------------------------------- cancelling


def test_cancelling_everywhere(answered: Answered) -> None:
    answer = answered("race.py:program --cancel --check all_well")
    assert re.fullmatch(r"program was cancelled \d+ times: no failure\n", answer.out)
    assert answer.code == 0


def test_a_failure_when_cancelled_can_be_repeated_with_or_without_saying_so(
    answered: Answered,
) -> None:
    answer = answered("race.py:program --cancel --check first_cut_only")
    assert answer.code == 1
    assert "assert cut.step < 2" in answer.out
    (code,) = re.findall(r"replay.*?\b(o0x2:)", answer.out)
    for typed in ("--cancel", ""):
        again = answered(f"race.py:program {typed} --check first_cut_only --replay {code}")
        assert again.code == 1
        assert "cancelled before step 2" in again.out


def test_faults_that_nothing_asks_for_are_no_failure(answered: Answered) -> None:
    answer = answered("race.py:program --cancel --faults nowhere")
    assert (answer.code, answer.out) == (2, "")


# ---------------------------------------------------------------- tracing


def test_a_trace_is_one_line_of_json(answered: Answered) -> None:
    answer = answered("race.py:fails --trace --seed 3")
    assert answer.code == 0
    lines: list[str] = json.loads(answer.out)
    assert lines[-1].endswith(" raised ValueError")


# ---------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            "race.py",
            (
                "say which function of race.py is meant, as race.py:NAME; there are: race.py:program, "
                "race.py:fails, race.py:ticks, race.py:serves, race.py:shop, race.py:needs"
            ),
        ),
        (
            "race",
            (
                "say which function of race is meant, as race:NAME; there are: race:program, "
                "race:fails, race:ticks, race:serves, race:shop, race:needs"
            ),
        ),
        ("race.py:progam", "there is no 'progam' in race.py; did you mean 'program'?"),
        (
            "race.py:zzz",
            (
                "there is no 'zzz' in race.py; there are: race.py:program, race.py:fails, race.py:ticks, "
                "race.py:serves, race.py:shop, race.py:needs"
            ),
        ),
        ("rase.py:program", "there is no file rase.py; did you mean 'race.py'?"),
        ("folder/zzz.py:program", "there is no file folder/zzz.py"),
        ("zzz:program", "there is no module zzz; type FILE.py:NAME or MODULE:NAME"),
        ("race.zzz:program", "there is no module race.zzz; type FILE.py:NAME or MODULE:NAME"),
        ("sub/race:x", "there is no module sub/race; type FILE.py:NAME or MODULE:NAME"),
        ("race.py:plain", "race.py:plain is not async: write 'async def'"),
        ("race.py:Cart", "race.py:Cart is not async: write 'async def'"),
        ("race.py:number", "race.py:number: a program is an async function or a flow, not 3"),
        (
            "race.py:needs",
            (
                "race.py:needs: needs() needs a, b; a program takes nothing, or dice: bind the rest with "
                "functools.partial"
            ),
        ),
        (
            "race.py:shop",
            "race.py:shop: flow 'shop' needs the state it is to run on as second argument",
        ),
        (
            "race.py:program --state full",
            "race.py:program: only a flow takes a state; program() is none",
        ),
        (
            "race.py:shop --state full --cancel",
            "--state is for a search; write a function that runs the flow",
        ),
        (
            "race.py:program --check chek",
            "there is no 'chek' in race.py; did you mean 'check'?",
        ),
        ("race.py:program --check number", "--check number: 3 is no function"),
        ("race.py:program --faults number", "--faults number: 3 is no Faults(...)"),
        (
            "race.py:program --replay nonsense",
            "'nonsense' is no replay code; one looks like 'os17:3,9.2' or 'priorities=17'",
        ),
    ],
)
def test_a_mistake_is_exit_code_2_and_told_with_its_remedy(
    answered: Answered, typed: str, told: str
) -> None:
    answer = answered(typed)
    assert answer.err == f"error: {told}\n(--help says what can be typed)\n"
    assert (answer.code, answer.out) == (2, "")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "the following arguments are required: PROGRAM"),
        (
            "race.py:program --seeds 0",
            "argument --seeds: '0' is not a whole number of at least 1",
        ),
        (
            "race.py:program --seeds x",
            "argument --seeds: 'x' is not a whole number of at least 1",
        ),
        ("race.py:program --cancel --trace", "not allowed with argument --cancel"),
    ],
)
def test_so_is_what_does_not_parse(answered: Answered, typed: str, told: str) -> None:
    answer = answered(typed)
    assert answer.code == 2
    assert told in answer.err


def test_a_file_beside_the_name_of_a_missing_module_is_pointed_at(
    answered: Answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(tmp_path)])
    assert "there is no module race, but a file: type race.py:NAME" in answered("race:x").err


def test_a_file_without_programs_lists_none(answered: Answered, tmp_path: Path) -> None:
    tmp_path.joinpath("empty.py").touch()
    assert answered("empty.py").err.startswith(
        "error: say which function of empty.py is meant, as empty.py:NAME\n"
    )


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError: division by zero"),
        ("def f(:", "SyntaxError: "),
    ],
)
def test_an_error_while_importing_is_shown_with_the_lines_of_the_file(
    answered: Answered, tmp_path: Path, source: str, told: str
) -> None:
    tmp_path.joinpath("broken.py").write_text(source)
    answer = answered("broken.py:program")
    assert answer.code == 2
    assert answer.err.startswith("error: broken.py cannot be imported\n")
    assert f'File "{tmp_path}/broken.py", line' in answer.err
    assert told in answer.err
    assert "importlib" not in answer.err
    assert "_named.py" not in answer.err


def test_the_help_is_enough(answered: Answered) -> None:
    answer = answered("--help")
    assert answer.code == 0
    for promise in (
        "FILE.py:NAME",
        "--replay CODE",
        "exit code: 0 no schedule fails; 1 one does",
    ):
        assert promise in answer.out


# ---------------------------------------------------------------- finding things


def test_a_file_is_imported_once(answered: Answered, tmp_path: Path) -> None:
    tmp_path.joinpath("counted.py").write_text("here = object()")
    named = Named()
    one = named.find("counted.py:here")
    assert named.find("./counted.py:here") is one
    assert named.find("here", near="counted.py:other") is one


def test_a_file_with_the_name_of_a_library_hides_nothing(
    answered: Answered, tmp_path: Path
) -> None:
    tmp_path.joinpath("queue.py").write_text("async def program(): pass")
    assert answered("queue.py:program --seeds 1").code == 0
    assert sys.modules["queue_"].__file__ == str(tmp_path / "queue.py")
    assert "Queue" in vars(sys.modules["queue"])


def test_a_file_of_a_package_may_import_its_neighbours(
    answered: Answered, tmp_path: Path
) -> None:
    package = tmp_path / "outer_folder" / "shop_package"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    package.joinpath("other.py").write_text("async def neighbour(): pass")
    package.joinpath("one.py").write_text("from .other import neighbour\nprogram = neighbour\n")
    assert answered("outer_folder/shop_package/one.py:program --seeds 1").code == 0
    assert "shop_package.one" in sys.modules


def test_what_is_not_found_is_an_error_of_its_own() -> None:
    with pytest.raises(NotFoundError) as caught:
        Named().find("no_such_module_at_all:x")
    assert caught.value.problem == str(caught.value)


# ---------------------------------------------------------------- tracebacks


def test_a_traceback_keeps_own_frames_of_causes_and_groups_too() -> None:
    def fails() -> None:
        raise KeyError("why")

    def wraps() -> None:
        try:
            fails()
        except KeyError as error:
            raise ExceptionGroup("both", [ValueError("bare"), error]) from error

    with pytest.raises(ExceptionGroup) as caught:
        wraps()
    told = own_traceback(caught.value)
    assert told.count("in fails") == 2
    assert "KeyError: 'why'" in told
    assert "ValueError: bare" in told


def test_an_error_without_own_frames_is_told_in_one_line() -> None:
    assert own_traceback(ValueError("alone")) == "ValueError: alone\n"


# ---------------------------------------------------------------- as a process


def test_it_is_a_command(tmp_path: Path) -> None:
    tmp_path.joinpath("race.py").write_text(textwrap.dedent(RACE))
    done = subprocess.run(
        [sys.executable, "-m", "agentflow_trio.testing", "race.py:fails"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert not done.stderr
    assert "ValueError: as always" in done.stdout
