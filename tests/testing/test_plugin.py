"""The marker ``simulation``, the fixture ``sim`` and the options, in sessions of pytest of their own."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from agentflow_trio.testing import plugin
from agentflow_trio.testing._overrides import OVERRIDES

pytestmark = pytest.mark.slow

HEAD: Final = """
import pytest, trio
from agentflow_trio.testing import *

class Store:
    # Two tasks that add at once lose one of the two.
    def __init__(self):
        self.number = 0

    async def add(self):
        number = self.number
        await trio.lowlevel.checkpoint()
        self.number = number + 1

async def add_twice(store):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.add)
        nursery.start_soon(store.add)

async def racy():
    store = Store()
    await add_twice(store)
    assert store.number == 2

async def fine():
    await trio.sleep(3600)

calls = []
"""
RACE: Final = """
@pytest.mark.simulation(seeds=50)
async def test_race(sim):
    sim.note("begin")
    await trio.sleep(1.5)
    sim.note("late")
    await racy()
"""
COMMAND: Final = (
    r"pytest (?:-p agentflow_trio\.testing\.plugin )?'?(?P<test>[^' ]+|[^']+)'? "
    r"--agentflow-replay=(?P<code>\S+)"
)


@attrs.define
class Session:
    """What one session came to.

    Attributes:
        code: its exit code.
        reports: of each phase of each test.
        out: what it printed.
    """

    code: int
    reports: list[pytest.TestReport]
    out: str

    @property
    def outcomes(self) -> dict[str, str]:
        """How each test ended: a phase that failed or was skipped, else its call."""
        found: dict[str, str] = {}
        for report in self.reports:
            name = report.nodeid.partition("::")[2]
            if report.when == "call" or not report.passed:
                found[name] = f"{report.when} {report.outcome}"
        return found

    def failure(self, name: str) -> pytest.TestReport:
        """The report of the phase in which that test failed."""
        (found,) = (r for r in self.reports if r.failed and r.nodeid.endswith(f"::{name}"))
        return found


class Recorder:
    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports.append(report)


Run = Callable[..., Session]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run a file of tests, after the usual head, in a session with strict settings, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    before = [*sys.modules]

    def session(source: str, *arguments: str, trio_mode: bool = True) -> Session:
        settings = f"""
            [pytest]
            filterwarnings = error
            addopts = --strict-markers --import-mode=importlib
            trio_mode = {trio_mode}
        """
        tmp_path.joinpath("pytest.ini").write_text(textwrap.dedent(settings))
        tmp_path.joinpath("test_it.py").write_text(HEAD + textwrap.dedent(source))
        recorder = Recorder()
        plugins = ["-p", "no:cacheprovider", "-p", "no:faulthandler"]
        current = os.environ["PYTEST_CURRENT_TEST"]
        capsys.readouterr()
        with warnings.catch_warnings():
            # What the start of pytest itself warns of, as on some Pythons, is not meant here.
            warnings.simplefilter("ignore")
            code = pytest.main([*plugins, *arguments], plugins=[plugin, recorder])
        os.environ["PYTEST_CURRENT_TEST"] = current
        out, err = capsys.readouterr()
        return Session(int(code), recorder.reports, out + err)

    yield session
    for name in [*sys.modules]:
        if name not in before and str(tmp_path) in str(
            getattr(sys.modules[name], "__file__", "")
        ):
            del sys.modules[name]


# ---------------------------------------------------------------- a failure


def test_a_race_fails_with_what_the_test_raised_and_its_own_lines_only(run: Run) -> None:
    failed = run(RACE)
    assert failed.outcomes == {"test_race": "call failed"}
    text = failed.failure("test_race").longreprtext
    assert ">       assert store.number == 2" in text
    assert "E       assert 1 == 2" in text
    assert "FAILED test_it.py::test_race - assert 1 == 2" in failed.out
    assert "agentflow_trio/testing" not in text
    assert "site-packages" not in text
    assert re.search(rf"E       replay: {COMMAND}\n", text)


def test_the_report_has_seed_policy_code_command_and_notes(run: Run) -> None:
    (section,) = [s for s in run(RACE).failure("test_race").sections if s[0] == "simulation"]
    lines = section[1].splitlines()
    command = next(
        re.fullmatch(f"replay: {COMMAND}", line) for line in lines if "pytest" in line
    )
    assert command is not None
    assert command["test"] == "test_it.py::test_race"
    assert f"code: {command['code']}" in lines
    assert [line for line in lines if re.fullmatch(r"seed: \d+", line)]
    assert [line for line in lines if re.fullmatch(r"policy: [a-z-]+", line)]
    assert lines[-2:] == ["noted at 0 s: begin", "noted at 1.5 s: late"]


def test_a_code_repeats_the_failure_at_the_first_try_and_nothing_is_shrunk(run: Run) -> None:
    report = run(RACE).failure("test_race")
    found = re.search(COMMAND, report.longreprtext)
    assert found is not None
    again = run(RACE, found["test"], f"--agentflow-replay={found['code']}").failure("test_race")
    (section,) = [text for name, text in again.sections if name == "simulation"]
    assert section.startswith("schedule 1 fails (")
    assert "shrunk" not in section
    assert f"code: {found['code']}\n" in section


def test_a_code_is_the_only_schedule_of_every_search(run: Run) -> None:
    passed = run(
        """
        @pytest.mark.simulation(seeds=50)
        async def test_marked():
            calls.append("marked")

        def test_explored():
            async def program():
                calls.append("explored")
            assert explore(program, seeds=50).seeds == 1

        def test_cancelled():
            async def program():
                calls.append("cancelled")
                await trio.sleep(1)
            cancel_everywhere(program)

        def test_each_was_called_once():
            assert calls == ["marked", "explored", "cancelled"]
        """,
        "--agentflow-replay=o3:",
    )
    assert {*passed.outcomes.values()} == {"call passed"}


def test_a_replay_of_what_was_mended_passes(run: Run) -> None:
    assert (
        run(
            "@pytest.mark.simulation\nasync def test_it(): pass", "--agentflow-replay=os0:1"
        ).code
        == 0
    )


def test_a_failure_in_children_keeps_its_group(run: Run) -> None:
    failed = run(
        """
        @pytest.mark.simulation
        async def test_group():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails)

        async def fails():
            raise ValueError("from a child")
        """
    )
    text = failed.failure("test_group").longreprtext
    assert "ExceptionGroup: Exceptions from Trio nursery (1 sub-exception)" in text
    assert "in fails" in text
    assert "in perform" not in text


def test_a_cause_is_kept(run: Run) -> None:
    failed = run(
        """
        @pytest.mark.simulation
        async def test_cause():
            try:
                raise KeyError("why")
            except KeyError as error:
                raise ValueError("what") from error
        """
    )
    text = failed.failure("test_cause").longreprtext
    assert "KeyError: 'why'" in text
    assert "The above exception was the direct cause" in text


def test_a_deadlock_is_told_without_a_traceback_of_the_search(run: Run) -> None:
    failed = run(
        """
        @pytest.mark.simulation
        async def test_dead():
            await trio.Event().wait()
        """
    )
    report = failed.failure("test_dead")
    assert report.longreprtext.startswith("deadlock: no task can ever go on at 0 s")
    assert "in test_dead: await trio.Event().wait()" in report.longreprtext
    assert "site-packages" not in report.longreprtext
    assert [name for name, _ in report.sections] == ["simulation"]


def test_what_fails_by_chance_says_so_and_has_no_notes_of_another_run(run: Run) -> None:
    failed = run(
        """
        @pytest.mark.simulation
        async def test_flaky(sim):
            calls.append(1)
            sim.note("here")
            assert len(calls) != 1
        """
    )
    text = dict(failed.failure("test_flaky").sections)["simulation"]
    assert "it did not fail again in a run of its own" in text
    assert "noted" not in text


# ---------------------------------------------------------------- the function and its fixtures


def test_the_function_is_called_anew_for_each_schedule_with_a_new_sim(run: Run) -> None:
    passed = run(
        """
        from random import Random

        @pytest.mark.simulation(seeds=7, first_seed=40, policy="one-at-a-time")
        async def test_seven(sim):
            assert sim.time == 0
            await trio.sleep(2.5)
            assert sim.time == 2.5
            assert repr(sim) == f"Sim(seed={sim.seed}, time=2.5)"
            assert sim.rng.random() == Random(sim.seed).random()
            calls.append(sim)

        def test_look():
            assert [sim.seed for sim in calls] == [40, 41, 42, 43, 44, 45, 46]
            assert len({id(sim) for sim in calls}) == 7
        """
    )
    assert passed.outcomes == {"test_seven": "call passed", "test_look": "call passed"}


@pytest.mark.parametrize("trio_mode", [False, True])
def test_classes_parameters_fixtures_and_other_tests_stand_side_by_side(
    run: Run, trio_mode: bool
) -> None:
    passed = run(
        """
        from hypothesis import given, settings, strategies as st

        pytestmark = pytest.mark.trio
        made = []

        @pytest.fixture(scope="session")
        def once():
            made.append("session")
            return made

        @pytest.fixture(scope="module")
        def per_module(once):
            made.append("module")
            yield
            made.append("over")

        @pytest.fixture(params=["x", "y"])
        def letter(request, per_module):
            made.append(request.param)
            return request.param

        class TestThings:
            def setup_method(self):
                self.own = []

            @pytest.mark.simulation(seeds=3)
            @pytest.mark.parametrize("number", [1, 2])
            async def test_method(self, number, letter, once, sim, tmp_path):
                self.own.append(sim)
                assert once is made and tmp_path.is_dir()
                calls.append(f"{number}{letter}{len(self.own)}")
                await trio.sleep(number)
                assert sim.time == number

        @pytest.mark.trio
        async def test_of_pytest_trio(autojump_clock):
            await trio.sleep(3600)
            assert trio.current_time() == 3600
        """,
        trio_mode=trio_mode,
    )
    assert sorted(passed.outcomes) == [
        "TestThings::test_method[x-1]",
        "TestThings::test_method[x-2]",
        "TestThings::test_method[y-1]",
        "TestThings::test_method[y-2]",
        "test_of_pytest_trio",
    ]
    assert {*passed.outcomes.values()} == {"call passed"}


def test_the_values_of_fixtures_are_made_once_and_shared_by_the_schedules(run: Run) -> None:
    passed = run(
        """
        @pytest.fixture
        def shared():
            return []

        @pytest.mark.simulation(seeds=5)
        async def test_shared(shared):
            shared.append(1)
            calls[:] = shared

        def test_look():
            assert calls == [1] * 5
        """
    )
    assert {*passed.outcomes.values()} == {"call passed"}


def test_hypothesis_can_search_in_a_plain_test(run: Run) -> None:
    passed = run(
        """
        from hypothesis import given, settings, strategies as st

        @settings(max_examples=5, database=None)
        @given(st.floats(0, 10))
        def test_given(seconds):
            async def program():
                await trio.sleep(seconds)
            explore(program, seeds=2).raise_on_failure()
            calls.append(seconds)

        @pytest.mark.simulation(seeds=3)
        async def test_marked():
            await fine()

        @settings(max_examples=5, database=None)
        @given(st.integers())
        async def test_async(number):
            await trio.lowlevel.checkpoint()
        """
    )
    assert {*passed.outcomes.values()} == {"call passed"}
    assert len(passed.outcomes) == 3


def test_what_the_marker_says_reaches_the_search(run: Run) -> None:
    ended = run(
        """
        async def ticks():
            while True:
                await trio.sleep(1)

        @pytest.mark.simulation(services=["ticks"], max_steps=1000)
        async def test_services():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ticks)
                await trio.Event().wait()

        @pytest.mark.simulation(max_steps=50)
        async def test_max_steps():
            await ticks()

        @pytest.mark.simulation(faults=Faults(save=always(OSError)), control="shuffle")
        async def test_faults():
            with pytest.raises(OSError):
                await fault_point("save")

        @pytest.mark.simulation(faults=Faults(safe=always(OSError)))
        async def test_unused():
            await fault_point("save")
        """
    )
    assert ended.outcomes["test_faults"] == "call passed"
    told = {n: ended.failure(n).longreprtext for n in ended.outcomes if n != "test_faults"}
    assert told["test_services"].startswith("deadlock: ")
    assert told["test_max_steps"].startswith("the program used up its steps (max_steps) at ")
    assert told["test_unused"] == (
        "nothing asked for the faults planned at 'safe': no step that ran, item, guard of a step "
        "or of call() and no fault_point() has such a name; did you mean 'save' by 'safe'?"
    )


def test_failures_and_skips_of_pytest_mean_what_they_say(run: Run) -> None:
    ended = run(
        """
        @pytest.mark.simulation
        async def test_raises():
            with pytest.raises(KeyError):
                await trio.lowlevel.checkpoint()

        @pytest.mark.simulation
        async def test_fail_in_a_child():
            async def child():
                pytest.fail("no good")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)

        @pytest.mark.simulation
        async def test_skip():
            pytest.skip("not today")

        @pytest.mark.simulation
        async def test_skip_in_a_child():
            async with trio.open_nursery():
                pytest.skip("not today")

        @pytest.mark.simulation
        async def test_xfail():
            pytest.xfail("known")

        @pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
        @pytest.mark.simulation
        async def test_expected():
            1 / 0

        @pytest.mark.xfail(raises=DeadlockError, strict=True)
        @pytest.mark.simulation
        async def test_expected_to_be_stuck():
            await trio.sleep_forever()
        """
    )
    assert ended.outcomes == {
        "test_raises": "call failed",
        "test_fail_in_a_child": "call failed",
        "test_skip": "call skipped",
        "test_skip_in_a_child": "call skipped",
        "test_xfail": "call skipped",
        "test_expected": "call skipped",
        "test_expected_to_be_stuck": "call skipped",
    }
    for name, text in [
        ("test_raises", "Failed: DID NOT RAISE"),
        ("test_fail_in_a_child", "Failed: no good"),
    ]:
        report = ended.failure(name)
        assert text in report.longreprtext
        assert re.search(f"replay: {COMMAND}", report.longreprtext)
        assert [key for key, _ in report.sections] == ["simulation"]


# ---------------------------------------------------------------- what is refused

REFUSED: Final = {
    "test_sync": "a simulation test is an async function, and 'test_sync' is none: write 'async def', "
    "or take the marker away and call agentflow_trio.testing.explore() in it",
    "test_given": "'test_given' is under @given, which calls it for every example: take the marker away, "
    "make it a plain function, and call agentflow_trio.testing.explore() in it",
    "test_unknown": "simulation() takes no 'sedes': did you mean 'seeds'? it takes seeds, policy, services, "
    "faults, max_steps, first_seed, control",
    "test_nothing_like": "simulation() takes no 'zzz': it takes seeds, policy, services, faults, "
    "max_steps, first_seed, control",
    "test_unnamed": "simulation(200) does not say what that is: name it, as in "
    '@pytest.mark.simulation(seeds=200, policy="portfolio")',
    "test_unmarked": "the fixture 'sim' is for simulation tests: mark 'test_unmarked' with "
    "@pytest.mark.simulation(seeds=100), or call agentflow_trio.testing.explore() in a plain test",
    "test_async_fixture": "simulation test 'test_async_fixture' cannot use the async fixture 'later': every "
    "schedule has a Trio of its own; make it in the test, as in `async with make() as thing`, or make the "
    "fixture a plain one",
    "test_open": "simulation test 'test_open' cannot use the async fixture 'opened': every schedule has a "
    "Trio of its own; make it in the test, as in `async with make() as thing`, or make the fixture a plain one",
    "test_nursery": "simulation test 'test_nursery' cannot use the async fixture 'nursery': every schedule "
    "has a Trio of its own; make it in the test, as in `async with make() as thing`, or make the fixture a "
    "plain one",
    "test_clock": "a simulation has a clock of its own, which jumps: drop the fixture 'autojump_clock'",
    "test_early": "sim stands for one schedule, and a fixture is made once for all of them: use sim in the "
    "test itself, or hand it from there to what needs it",
}


def test_each_mistake_is_told_with_its_remedy(run: Run) -> None:
    ended = run(
        """
        from hypothesis import given, strategies as st

        @pytest.fixture
        async def later():
            return 1

        @pytest.fixture
        async def opened():
            yield 2

        @pytest.fixture
        def early(sim):
            assert repr(sim) == "Sim()"
            return sim.seed

        @pytest.mark.simulation
        def test_sync(sim): pass

        @pytest.mark.simulation
        @given(st.integers())
        async def test_given(number): pass

        @pytest.mark.simulation(sedes=3)
        async def test_unknown(): pass

        @pytest.mark.simulation(zzz=3)
        async def test_nothing_like(): pass

        @pytest.mark.simulation(200)
        async def test_unnamed(): pass

        async def test_unmarked(sim): pass

        @pytest.mark.simulation
        async def test_async_fixture(later): pass

        @pytest.mark.simulation
        async def test_open(opened): pass

        @pytest.mark.simulation
        async def test_nursery(nursery): pass

        @pytest.mark.simulation
        async def test_clock(autojump_clock): pass

        @pytest.mark.simulation
        async def test_early(early): pass

        async def test_the_same_fixtures_in_a_trio_test(later, opened, nursery):
            assert (later, opened) == (1, 2)
        """
    )
    assert ended.outcomes["test_the_same_fixtures_in_a_trio_test"] == "call passed"
    told = {name: ended.failure(name).longreprtext for name in REFUSED}
    assert len(ended.outcomes) == len(told) + 1
    early = told["test_early"]
    assert ">       return sim.seed" in early
    assert f"MarkerError: {REFUSED['test_early']}" in early
    assert told == {**REFUSED, "test_early": early}


SENSELESS: Final = {
    "seeds=0": "simulation(seeds=...) takes a whole number of at least 1, not 0",
    "seeds=True": "simulation(seeds=...) takes a whole number of at least 1, not True",
    "max_steps='9'": "simulation(max_steps=...) takes a whole number of at least 1, not '9'",
    "first_seed=1.5": "simulation(first_seed=...) takes a whole number, not 1.5",
    "first_seed=True": "simulation(first_seed=...) takes a whole number, not True",
    "policy='pct'": "simulation(policy=...) takes one of 'portfolio', 'batch', 'one-at-a-time', "
    "'priorities', 'preemptions', not 'pct'",
    "services='ticker'": "simulation(services=...) takes a list of names of tasks, like "
    "[\"ticker\"], not 'ticker'",
    "services=[1]": 'simulation(services=...) takes a list of names of tasks, like ["ticker"], not [1]',
    "faults={}": "simulation(faults=...) takes Faults(...), not {}",
}


def test_an_argument_that_makes_no_sense_is_told_by_name(run: Run) -> None:
    tests = [
        f"@pytest.mark.simulation({arguments})\nasync def test_{number}(): pass\n"
        for number, arguments in enumerate(SENSELESS)
    ]
    ended = run("\n".join(tests))
    example = 'for example @pytest.mark.simulation(seeds=200, policy="portfolio")'
    assert [report.longreprtext for report in ended.reports if report.failed] == [
        f"{told}; {example}" for told in SENSELESS.values()
    ]


# ---------------------------------------------------------------- options


def test_the_number_of_seeds_is_overridden_everywhere(run: Run) -> None:
    passed = run(
        """
        @pytest.mark.simulation(seeds=50)
        async def test_marked():
            calls.append(1)

        def test_explored():
            assert len(calls) == 3
            assert explore(fine, seeds=50).seeds == 3
        """,
        "--agentflow-seeds=3",
    )
    assert {*passed.outcomes.values()} == {"call passed"}


def test_a_bad_code_ends_the_session_before_it_begins(run: Run) -> None:
    ended = run(RACE, "--agentflow-replay=nonsense")
    assert ended.code == pytest.ExitCode.USAGE_ERROR
    assert (
        "ERROR: --agentflow-replay: 'nonsense' is no replay code; one looks like 'os17:3,9.2' or "
        "'priorities=17'" in ended.out
    )
    assert not ended.reports


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_a_bad_number_of_seeds_does_too(run: Run, number: str) -> None:
    ended = run(RACE, f"--agentflow-seeds={number}")
    assert ended.code == pytest.ExitCode.USAGE_ERROR
    assert f"--agentflow-seeds: '{number}' is not a whole number of at least 1" in ended.out


def test_a_session_leaves_the_options_as_they_were(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OVERRIDES, "seeds", 12)
    monkeypatch.setattr(OVERRIDES, "replay", "o1:")
    monkeypatch.setattr(OVERRIDES, "test", "pytest outer")
    inner = """
        from agentflow_trio.testing._overrides import OVERRIDES

        def test_inner():
            assert (OVERRIDES.seeds, OVERRIDES.replay) == (5, None)
            assert OVERRIDES.test.endswith("test_it.py::test_inner")
    """
    assert run(inner, "--agentflow-seeds=5").code == 0
    assert (OVERRIDES.seeds, OVERRIDES.replay, OVERRIDES.test) == (12, "o1:", "pytest outer")
    assert run(inner, "--agentflow-replay=nonsense").code == pytest.ExitCode.USAGE_ERROR
    assert (OVERRIDES.seeds, OVERRIDES.replay, OVERRIDES.test) == (12, "o1:", "pytest outer")


def test_the_marker_and_the_options_are_listed(run: Run) -> None:
    assert "@pytest.mark.simulation(seeds=100, policy='portfolio'" in run("", "--markers").out
    listed = run("", "--help").out
    assert "--agentflow-seeds=N" in listed
    assert "--agentflow-replay=CODE" in listed


def test_the_command_is_typed_where_pytest_was(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sub folder"
    folder.mkdir()
    source = """
        @pytest.mark.simulation
        @pytest.mark.parametrize("word", ["it's"])
        async def test_two(word):
            assert not word
    """
    run(source, "--collect-only")
    monkeypatch.chdir(folder)
    text = run(source, "-c", "../pytest.ini", "--rootdir=..", "..").failure("test_two[it's]")
    assert "../test_it.py::test_two[it'\"'\"'s]' --agentflow-replay=" in text.longreprtext


def test_an_item_that_is_no_function_is_left_alone(run: Run, tmp_path: Path) -> None:
    tmp_path.joinpath("conftest.py").write_text(
        textwrap.dedent("""
            import pytest

            class Page(pytest.File):
                def collect(self):
                    item = Line.from_parent(self, name="line")
                    item.add_marker(pytest.mark.simulation)
                    yield item

            class Line(pytest.Item):
                def runtest(self):
                    pass

            def pytest_collect_file(file_path, parent):
                return Page.from_parent(parent, path=file_path) if file_path.suffix == ".page" else None
        """)
    )
    tmp_path.joinpath("one.page").touch()
    ended = run("", "one.page", trio_mode=False)  # pytest-trio takes every item for a function
    assert ended.outcomes == {"line": "call passed"}
