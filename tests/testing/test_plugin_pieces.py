"""What the plugin is made of, piece by piece: markers, stand-ins for failures, the command that repeats one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import attrs
import pytest

from agentflow_trio import END, Wiring, flow, step
from agentflow_trio.testing import Faults
from agentflow_trio.testing._marked import MarkerError, Schedule
from agentflow_trio.testing._overrides import Overrides
from agentflow_trio.testing._stand_in import StandIn, stand_in

HERE = Path(__file__)


async def program() -> int:
    return 1


def check(number: int) -> None:
    assert number == 2


@attrs.define
class Nothing:
    pass


@step
async def idle(nothing: Nothing) -> None:
    pass


@flow
def idling() -> Wiring[Nothing]:
    return [idle.then(END)]


# ---------------------------------------------------------------- schedules


async def test_only_a_simulation_has_schedules() -> None:
    with pytest.raises(MarkerError, match="only a simulation has schedules"):
        Schedule(Random(1))


# ---------------------------------------------------------------- stand-ins


class Fail(BaseException):
    pass


class Skip(BaseException):
    pass


def stood_in(error: BaseException) -> BaseException | None:
    return stand_in(error, failures=(Fail,), others=(Skip,))


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        ExceptionGroup("", [ValueError()]),
        Skip(),
        KeyboardInterrupt(),
        BaseExceptionGroup("", [Fail(), KeyboardInterrupt()]),
        BaseExceptionGroup("", [Skip(), ValueError()]),
    ],
    ids=repr,
)
def test_what_is_right_as_it_is_has_no_stand_in(error: BaseException) -> None:
    assert stood_in(error) is None


@pytest.mark.parametrize(
    "error",
    [
        Fail(),
        BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [Fail()])]),
    ],
    ids=repr,
)
def test_a_failure_that_is_no_exception_has_one(error: BaseException) -> None:
    made = stood_in(error)
    assert isinstance(made, StandIn)
    assert made.error is error


def test_a_skip_comes_out_of_its_groups() -> None:
    skip = Skip()
    assert stood_in(BaseExceptionGroup("", [BaseExceptionGroup("", [skip])])) is skip


# ---------------------------------------------------------------- the command


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Overrides]:
    """As it is outside pytest, in some folder."""

    def made(folder: Path) -> Overrides:
        monkeypatch.chdir(folder)
        return Overrides()

    return made


Outside = Callable[[Path], Overrides]
COMMAND = "python -m agentflow_trio.testing"


def test_in_a_test_the_command_runs_the_test() -> None:
    assert Overrides(test="pytest 'a b.py::test'").command(program, "o1:") == (
        "pytest 'a b.py::test' --agentflow-replay=o1:"
    )


def test_elsewhere_it_names_the_program_as_seen_from_here(
    outside: Outside, tmp_path: Path
) -> None:
    near = outside(HERE.parent).command(program, "os1:2.3")
    assert near == f"{COMMAND} test_plugin_pieces.py:program --replay os1:2.3"
    far = outside(tmp_path).command(program, "o1:")
    assert far == f"{COMMAND} {HERE}:program --replay o1:"


def test_it_says_all_that_can_be_said(outside: Outside) -> None:
    said = outside(HERE.parent).command(
        program,
        "o1x2:",
        call="cancel_everywhere",
        check=check,
        services=["a b", "c"],
        max_steps=7,
        control="time",
    )
    assert said == (
        f"{COMMAND} test_plugin_pieces.py:program --cancel --check check '--service=a b' --service=c "
        "--max-steps=7 --control=time --replay o1x2:"
    )


def test_a_check_of_another_file_is_named_with_its_file(outside: Outside) -> None:
    assert outside(HERE.parent).command(program, "o1:", check=os.path.basename) == (
        f"{COMMAND} test_plugin_pieces.py:program --check {os.path.__file__}:basename --replay o1:"
    )


def test_what_no_command_line_can_say_is_said_as_a_call(outside: Outside) -> None:
    async def local() -> int:
        return 1

    overrides = outside(HERE.parent)
    for said in (
        overrides.command(local, "o1:"),
        overrides.command(idling, "o1:"),
        overrides.command(program, "o1:", check=lambda number: None),
        overrides.command(program, "o1:", faults=Faults()),
    ):
        assert said == "explore(..., replay='o1:')"
    said = overrides.command(local, "o1:", call="cancel_everywhere")
    assert said == "cancel_everywhere(..., replay='o1:')"
