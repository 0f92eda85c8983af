"""The plugin of pytest: the marker ``simulation``, the fixture ``sim``, and two options for every search.

Layer: testing; the only module that knows pytest. A simulation test is made a plain function as soon as it is collected,
so that whoever runs async tests passes it over; when it is called, it searches.
"""

from __future__ import annotations

import argparse
import functools
import os
import shlex
from collections.abc import Awaitable, Callable, Generator, Mapping
from inspect import isasyncgenfunction, iscoroutinefunction
from random import Random
from typing import Any, Final, TypeAlias

import pytest
import trio

from ._code_core import parse
from ._errors import ReplayCodeError, SimulationError
from ._explore import explore
from ._findings import Exploration, ScheduleFailure
from ._marked import MarkerError, Schedule, Sim, SimulationMarker, section
from ._overrides import OVERRIDES, PLUGIN
from ._program import Program
from ._stand_in import StandIn, stand_in

__all__ = ["sim"]

_MARKER: Final = (
    "simulation(seeds=100, policy='portfolio', services=(), faults=None, max_steps=50000, first_seed=0, "
    "control='order'): search the schedules of this async test, in virtual time, until one fails "
    "(agentflow_trio.testing.explore). The function is called anew for each; the values of its fixtures "
    "are made once and shared."
)

_FAILURES: Final = (pytest.fail.Exception,)
_OTHERS: Final = (pytest.skip.Exception, pytest.xfail.Exception)

_Test: TypeAlias = Callable[..., Awaitable[object]]

_MARK: Final = pytest.StashKey[pytest.Mark]()
"""Of an item: that it is a simulation test, and what its marker says."""

_PLAIN: Final = pytest.StashKey[bool]()
"""Of an item: that it was async."""

_ITEM: Final = pytest.StashKey[pytest.Item]()
"""Of the session's configuration: the test that goes on."""

_BARE: Final = pytest.StashKey[BaseException]()
"""Of an item: an error of the simulator's own, of which a traceback would tell nothing."""

_REPORT: Final = pytest.StashKey[str]()
"""Of an item: what to report besides its error."""


# ---------------------------------------------------------------- options


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say what may be typed."""
    group = parser.getgroup("agentflow_trio", "simulations (agentflow_trio.testing)")
    group.addoption(
        "--agentflow-seeds",
        metavar="N",
        type=_count,
        help="how many schedules every search tries, whatever the tests say",
    )
    group.addoption(
        "--agentflow-replay",
        metavar="CODE",
        help="the one schedule every search tries; name the test that it is of",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; have every search of this process obey the options."""
    config.addinivalue_line("markers", _MARKER)
    code: str | None = config.getoption("agentflow_replay")
    if code is not None:
        try:
            parse(code)
        except ReplayCodeError as error:
            raise pytest.UsageError(f"--agentflow-replay: {error}") from None
    # A session may run inside a test of another: what held before holds again after it.
    config.add_cleanup(functools.partial(_override, *_overridden()))
    _override(config.getoption("agentflow_seeds"), code, None)


def _overridden() -> tuple[int | None, str | None, str | None]:
    return OVERRIDES.seeds, OVERRIDES.replay, OVERRIDES.test


def _override(seeds: int | None, replay: str | None, test: str | None) -> None:
    OVERRIDES.seeds, OVERRIDES.replay, OVERRIDES.test = seeds, replay, test


# ---------------------------------------------------------------- from collection to report


def pytest_itemcollected(item: pytest.Item) -> None:
    """Make a plain function of an async one that is marked."""
    mark = item.get_closest_marker("simulation")
    if mark is None or not isinstance(item, pytest.Function):
        return
    item.stash[_MARK] = mark
    item.stash[_PLAIN] = iscoroutinefunction(item.obj)
    if item.stash[_PLAIN]:
        item.obj = _plain(item, item.obj)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Know which test goes on."""
    item.config.stash[_ITEM] = item
    OVERRIDES.test = _command(item)
    try:
        return (yield)
    finally:
        OVERRIDES.test = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse what is marked and cannot be simulated, before its fixtures are made."""
    if _MARK in item.stash:
        _read(item)
        if not item.stash[_PLAIN]:
            pytest.fail(_not_async(item), pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """Refuse fixtures that need a loop."""
    item = request.config.stash.get(_ITEM, None)
    if item is not None and _MARK in item.stash and _needs_loop(fixturedef.func):
        refused = pytest.fail.Exception(
            f"simulation test {item.name!r} cannot use the async fixture {fixturedef.argname!r}: every schedule "
            "has a Trio of its own; make it in the test, as in `async with make() as thing`, or make the "
            "fixture a plain one",
            pytrace=False,
        )
        # What was made is finished, be it only a refusal; what was not could never be made again.
        fixturedef.cached_result = (None, getattr(request, "param", None), (refused, None))
        raise refused


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say how to see a failure again."""
    report = yield
    if call.excinfo is not None and call.excinfo.value is item.stash.get(_BARE, None):
        report.longrepr = call.excinfo.getrepr(style="value")
    if report.failed and report.when == "call" and _REPORT in item.stash:
        report.sections.append(("simulation", item.stash[_REPORT]))
    return report


@pytest.fixture
def sim(request: pytest.FixtureRequest) -> Sim:
    """The schedule that a simulation test runs under: its seed, dice and time; another one for each."""
    if _MARK not in request.node.stash:
        pytest.fail(
            f"the fixture 'sim' is for simulation tests: mark {request.node.name!r} with "
            "@pytest.mark.simulation(seeds=100), or call agentflow_trio.testing.explore() in a plain test",
            pytrace=False,
        )
    return Sim()


# ---------------------------------------------------------------- what is marked


def _read(item: pytest.Item) -> SimulationMarker:
    mark = item.stash[_MARK]
    try:
        return SimulationMarker.read(mark.args, mark.kwargs)
    except MarkerError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _not_async(item: pytest.Item) -> str:
    if hasattr(getattr(item, "obj", None), "hypothesis"):
        return (
            f"{item.name!r} is under @given, which calls it for every example: take the marker away, make it a "
            "plain function, and call agentflow_trio.testing.explore() in it"
        )
    return (
        f"a simulation test is an async function, and {item.name!r} is none: write 'async def', or take the marker "
        "away and call agentflow_trio.testing.explore() in it"
    )


def _needs_loop(function: object) -> bool:
    made_by_trio = getattr(function, "_force_trio_fixture", False)
    return made_by_trio or iscoroutinefunction(function) or isasyncgenfunction(function)


def _command(item: pytest.Item) -> str:
    """What runs this test and no other, typed where this session was."""
    config = item.config
    file, colon, name = item.nodeid.partition("::")
    place = os.path.relpath(config.rootpath / file, config.invocation_params.dir)
    found = [plugin for plugin, _ in config.pluginmanager.list_plugin_distinfo()]
    load = [] if config.pluginmanager.get_plugin(PLUGIN) in found else ["-p", PLUGIN]
    return shlex.join(["pytest", *load, f"{place}{colon}{name}"])


# ---------------------------------------------------------------- the call


def _plain(item: pytest.Function, test: _Test) -> Callable[..., None]:
    """A plain function that searches the schedules of *test*."""

    @functools.wraps(test)
    def plain(**arguments: object) -> None:
        __tracebackhide__ = True
        _search(item, test, arguments)

    # A module may mark all its tests for pytest-trio, which is told so that this one is ready to run.
    plain.__dict__["_trio_test_runner_wrapped"] = True
    return plain


def _search(item: pytest.Function, test: _Test, arguments: Mapping[str, object]) -> None:
    __tracebackhide__ = True
    latest: list[Schedule] = []

    async def program(rng: Random) -> None:
        __tracebackhide__ = True
        schedule = Schedule(rng)
        latest[:] = [schedule]
        own = {
            name: Sim(schedule) if isinstance(value, Sim) else value
            for name, value in arguments.items()
        }
        try:
            await test(**own)
        except trio.Cancelled:
            raise
        except BaseException as error:  # pytest.fail raises no Exception
            other = stand_in(error, failures=_FAILURES, others=_OTHERS)
            if other is not None:
                raise other from None
            raise
        finally:
            schedule.end()

    try:
        _refuse_clocks(arguments)
        found = _explored(program, _read(item))
    except SimulationError as error:
        item.stash[_BARE] = error
        raise
    for failure in found.failures:
        # The last schedule that ran is the one reported, unless it did not fail again.
        notes = latest[0].notes if failure.confirmed else []
        item.stash[_REPORT] = section(failure, notes)
        raised = _original(failure)
        if raised.__traceback__ is None:
            item.stash[_BARE] = raised
        raise raised


def _explored(program: Program[None], marker: SimulationMarker) -> Exploration:
    return explore(
        program,
        seeds=marker.seeds,
        first_seed=marker.first_seed,
        policy=marker.policy,
        faults=marker.faults,
        services=marker.services,
        max_steps=marker.max_steps,
        control=marker.control,
    )


def _refuse_clocks(arguments: Mapping[str, object]) -> None:
    for name, value in arguments.items():
        if isinstance(value, trio.abc.Clock):
            raise MarkerError(
                problem=f"a simulation has a clock of its own, which jumps: drop the fixture {name!r}"
            )


def _original(failure: ScheduleFailure) -> BaseException:
    """What the test raised, with one line on how to see it again; the report says the rest."""
    error: BaseException = failure.error
    error.__notes__.remove(str(failure))
    if isinstance(error, StandIn):
        error = error.error
    error.add_note(f"replay: {failure.command}")
    return error
