"""What the simulator does to Trio's scheduler is undone on every exit, and a Trio that changed is found out and named."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from random import Random

import pytest
import trio
from trio._core import _run as scheduler

from agentflow_trio.testing import (
    Control,
    ControlError,
    DeadlockError,
    cancel_everywhere,
    check_deterministic,
    explore,
    simulate,
)
from agentflow_trio.testing import _private as private

USUAL = scheduler._r
FLAG_BEFORE = scheduler._ALLOW_DETERMINISTIC_SCHEDULING  # Trio's plugin for Hypothesis sets it


@pytest.fixture(autouse=True)
def trio_is_as_it_was() -> Iterator[None]:
    """Make sure that nothing is left of the patch."""
    assert_untouched()
    yield
    assert_untouched()


def assert_untouched() -> None:
    assert scheduler._r is USUAL
    assert isinstance(scheduler._r, Random)
    assert scheduler._ALLOW_DETERMINISTIC_SCHEDULING is FLAG_BEFORE
    assert private._mine.reorder is None

    async def main() -> list[int]:
        done: list[int] = []

        async def note(number: int) -> None:
            await trio.lowlevel.checkpoint()
            done.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(note, number)
        return done

    assert sorted(trio.run(main)) == [0, 1, 2]


class PlannedError(Exception):
    pass


async def fine() -> str:
    await trio.sleep(1)
    return "fine"


async def failing() -> None:
    await trio.sleep(1)
    raise PlannedError


async def deadlocked() -> None:
    await trio.sleep_forever()


async def interrupted() -> None:
    await trio.sleep(1)
    raise KeyboardInterrupt


async def deaf() -> None:
    while True:
        with suppress(trio.Cancelled):
            await trio.lowlevel.checkpoint()


def refuse(_: object) -> None:
    raise PlannedError


def in_the_body() -> None:
    with simulate(fine) as sim:
        sim.run_until(0.5)
        raise PlannedError


def simulated(program: Callable[[], Awaitable[object]]) -> Callable[[], object]:
    def run() -> None:
        with simulate(program) as sim:
            sim.run()

    return run


# ---------------------------------------------------------------- undone


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (simulated(failing), PlannedError),
        (simulated(deadlocked), DeadlockError),
        (simulated(interrupted), KeyboardInterrupt),
        (simulated(deaf), Exception),
        (in_the_body, PlannedError),
        (lambda: explore(failing, seeds=3).raise_on_failure(), PlannedError),
        (lambda: explore(fine, seeds=3, check=refuse).raise_on_failure(), PlannedError),
        (lambda: explore(interrupted, seeds=3), KeyboardInterrupt),
        (lambda: cancel_everywhere(fine, check=refuse), PlannedError),
        (lambda: explore(fine, seeds=0), ValueError),
    ],
    ids=[
        "failure",
        "deadlock",
        "interrupt",
        "given up",
        "body",
        "explored failure",
        "check",
        "explored interrupt",
        "cancelled",
        "refused",
    ],
)
def test_the_scheduler_is_trios_own_again_after_any_end(
    act: Callable[[], object], kind: type[BaseException]
) -> None:
    with pytest.raises(kind):
        act()


def test_trio_works_as_ever_while_a_simulation_stands_still_in_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", False)
    standing, go_on = threading.Event(), threading.Event()
    results: list[object] = []

    def elsewhere() -> None:
        with simulate(fine) as sim:
            sim.run_until(0.5)
            standing.set()
            go_on.wait(10)
            sim.run()
            results.append(sim.result)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        assert standing.wait(10)
        assert scheduler._r is not USUAL
        starts: set[tuple[int, ...]] = set()

        async def main() -> None:
            started: list[int] = []

            async def note(number: int) -> None:
                started.append(number)

            async with trio.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(note, number)
            starts.add(tuple(started))

        for _ in range(60):
            trio.run(main)
        assert starts == {(0, 1, 2), (2, 1, 0)}  # what Trio does by itself
    finally:
        go_on.set()
        thread.join()
    assert results == ["fine"]


def test_the_dice_of_a_trio_that_is_seeded_stay_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shuffled() -> list[int]:
        batch = list(range(20))
        private._scheduler()._r.shuffle(batch)
        return batch

    monkeypatch.setattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    USUAL.seed(7)
    expected = shuffled()
    USUAL.seed(7)
    done: list[list[int]] = []
    with private.controlled(lambda batch: batch.reverse()):
        assert shuffled() == list(range(20))[::-1]
        thread = threading.Thread(target=lambda: done.append(shuffled()))
        thread.start()
        thread.join()
        assert 0 <= scheduler._r.random() < 1
        assert scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    assert done == [expected]
    assert scheduler._ALLOW_DETERMINISTIC_SCHEDULING


# ---------------------------------------------------------------- a Trio that changed

CHANGED = '''
import importlib.abc, importlib.util, sys, warnings

warnings.simplefilter("error")
CHANGES = {changes!r}


class Changed(importlib.abc.SourceLoader):
    """Loads Trio's scheduler with other names."""

    def __init__(self, path):
        self.path = path

    def get_filename(self, name):
        return self.path

    def get_data(self, path):
        if path.endswith(".pyc"):
            raise OSError
        with open(path) as file:
            text = file.read()
        for old, new in CHANGES:
            assert old in text, old
            text = text.replace(old, new)
        return text.encode()


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "trio._core._run":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        return importlib.util.spec_from_loader(name, Changed(found.origin))


sys.meta_path.insert(0, Finder())

import time
import pytest, trio
from agentflow_trio.testing import (
    ControlError, DeadlockError, NestedSimulationError, cancel_everywhere, explore, simulate,
)
from agentflow_trio.testing._private import available


async def works():
    done = []

    async def note(name, delay):
        await trio.sleep(delay)
        await trio.to_thread.run_sync(time.sleep, 0.001)
        done.append(name)

    with trio.move_on_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, "b", 2)
            nursery.start_soon(note, "a", 1)
    return done, trio.current_time()


async def hangs():
    with trio.CancelScope() as scope:
        scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()


async def order():
    started = []

    async def note(number):
        started.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(note, number)
    return tuple(started)


def simulated(program, **settings):
    with simulate(program, **settings) as sim:
        sim.run()
        return sim.result


def report(control):
    with pytest.raises(DeadlockError) as caught:
        simulated(hangs, control=control)
    return caught.value.tasks


def well(control):
    assert simulated(works, control=control) == (["a", "b"], 2.0)
    assert report(control)[0].waits_for == "sleep_forever"
    explore(works, control=control, seeds=3, check=print).raise_on_failure()
'''


def with_another_trio(changes: list[tuple[str, str]], program: str) -> None:
    """Run *program* in a process whose Trio has other private names."""
    text = CHANGED.format(changes=changes) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


DICE = ("_r.", "_dice."), ("\n_r =", "\n_dice =")
FLAG = ("_ALLOW_DETERMINISTIC_SCHEDULING", "_DETERMINISTIC")
QUEUE = ("runq", "ready")


@pytest.mark.parametrize("changes", [[*DICE], [FLAG]], ids=["dice", "flag"])
def test_without_the_dice_or_their_flag_virtual_time_is_left(
    changes: list[tuple[str, str]],
) -> None:
    with_another_trio(
        changes,
        """
        for control in ("order", "shuffle"):
            with pytest.raises(ControlError, match="what works is 'time'") as caught:
                simulate(works, control=control)
            assert (caught.value.wanted, caught.value.works) == (control, "time")
            assert caught.value.trio == trio.__version__
        assert available() == "time"
        well("time")
        """,
    )


def test_without_the_queue_shuffling_is_left() -> None:
    with_another_trio(
        [QUEUE],
        """
        with pytest.raises(ControlError, match="control='shuffle'"):
            explore(works)
        assert available() == "shuffle"
        well("shuffle")
        orders = []
        explore(order, seeds=60, control="shuffle", check=orders.append)
        assert len(set(orders)) > 15
        assert cancel_everywhere(order, control="shuffle") > 2
        """,
    )


def test_without_what_is_optional_everything_else_is_left() -> None:
    with_another_trio(
        [
            ("deadlines", "timers"),
            ("_cancel_status", "_cancel_state"),
            ("_next_send_fn", "_send_with"),
        ],
        """
        assert available() == "order"
        well("order")
        (main,) = report("order")
        assert main.limit is None
        assert not main.shielded
        """,
    )


def test_an_order_that_is_not_obeyed_is_found_out() -> None:
    with_another_trio(
        [("        _r.shuffle(batch)", "        _r.shuffle(list(batch))")],
        """
        assert available() == "time"
        well("time")
        """,
    )


async def test_where_trio_does_not_tell_what_arrived_it_is_looked_for_each_time() -> None:
    loop = private.Loop()
    assert not loop.may_arrive()
    loop._callbacks = None
    assert loop.may_arrive()


async def test_where_trio_does_not_tell_of_threads_they_are_looked_for_each_time() -> None:
    loop = private.Loop()
    assert not loop.may_wait()
    loop._locals = None
    assert loop.may_wait()


async def test_where_trio_tells_nothing_of_the_outside_it_is_asked_in_every_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert private.Loop().is_alone()
    monkeypatch.setattr(private, "_part", lambda *_: None)
    assert not private.Loop().is_alone()


async def test_the_operating_system_is_asked_only_if_something_may_have_come() -> None:
    loop = private.Loop()
    one, other = socket.socketpair()
    with one, other:
        other.send(b"!")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.wait_readable, one)
            await trio.testing.wait_all_tasks_blocked()
            assert not nursery.child_tasks
            assert loop.is_alone()
    assert await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(one.fileno)) == -1


def test_what_works_is_tried_out_once() -> None:
    assert private.available() == "order"
    before = private.available.cache_info().misses
    with simulate(fine) as sim:
        sim.run()
    assert private.available.cache_info().misses == before


def test_the_error_says_what_to_do() -> None:
    error = ControlError(wanted="order", works="time", trio="9.9")
    assert str(error) == (
        "Trio 9.9 does not let the simulator control 'order'; what works is 'time': "
        "ask for it with control='time', or use a Trio that was tried"
    )


@pytest.mark.parametrize("control", ["order", "shuffle", "time"])
def test_every_control_runs_the_same_programs(control: Control) -> None:
    with simulate(fine, control=control) as sim:
        sim.run()
        assert (sim.result, sim.time) == ("fine", 1.0)
    with simulate(deadlocked, control=control) as sim, pytest.raises(DeadlockError):
        sim.run()
    assert explore(fine, seeds=3, control=control).seeds == 3
    assert cancel_everywhere(fine, control=control) >= 2
    if control != "time":
        check_deterministic(fine, hash_seed=None, control=control)


@pytest.mark.parametrize("control", ["order", "shuffle", "time"])
def test_under_every_control_what_never_heeds_is_given_up(control: Control) -> None:
    with (
        simulate(deaf, control=control, max_steps=500) as sim,
        pytest.raises(Exception) as caught,
    ):
        sim.run()
    assert type(caught.value).__name__ in {"StepBudgetError", "LivelockError"}
