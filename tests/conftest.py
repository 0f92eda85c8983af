"""What holds for every test: how hard Hypothesis tries, and that nothing is left behind.

After every test no thread works on; after an async test no task it started is alive and Trio's
default thread limiter has all its tokens back. A test that leaves something fails, by name.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from inspect import iscoroutinefunction
from typing import ParamSpec

import pytest
from hypothesis import Phase, settings

from agentflow_trio.testing import assert_no_leaks

Arguments = ParamSpec("Arguments")


# dev: while writing. ci: the same examples on every run (derandomize leaves no use for the example
# database, and Hypothesis refuses both). quick: a few of them, where they show no more than that one
# more Python does the same, or that a line is reached. mutation: thousands of times in a row, where
# only the verdict counts; a failing program is not made smaller. deep: `tox -e fuzz`.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=True, print_blob=True
)
settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
settings.register_profile(
    "mutation",
    max_examples=15,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev")
)


def busy_threads() -> dict[int, str]:
    """The threads inside somebody's function, by identity; Trio's idle workers are not.

    A worker is idle, or about to be, when its innermost frame is Trio's own. (A call straight into
    C looks the same; the limiter tells of that one.)
    """
    frames = sys._current_frames()
    busy: dict[int, str] = {}
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and thread is not threading.current_thread():
            module = str(frame.f_globals.get("__name__", ""))
            if module.partition(".")[0] not in {"outcome", "trio"}:
                busy[thread.ident or 0] = thread.name
    return busy


def leaves_no_task(
    test: Callable[Arguments, Awaitable[None]],
) -> Callable[Arguments, Awaitable[None]]:
    """Return *test* with a last look around, taken in the loop as soon as its body has ended."""

    @functools.wraps(test)
    async def watched(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        __tracebackhide__ = True
        with assert_no_leaks():
            await test(*args, **kwargs)

    return watched


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Watch every async test, those under ``@given`` included. Under mutmut, models come first, since they never hang."""
    if "MUTANT_UNDER_TEST" in os.environ:
        items.sort(key=lambda item: "_model" not in item.path.name)
    for item in items:
        if " at 0x" in item.nodeid:  # workers could not agree on what there is
            raise pytest.UsageError(
                f"{item.nodeid} is called otherwise in another process: give ids="
            )
        if not isinstance(item, pytest.Function):
            continue
        given = getattr(item.obj, "hypothesis", None)
        if given is None:
            if iscoroutinefunction(item.obj):
                item.obj = leaves_no_task(item.obj)
        elif iscoroutinefunction(given.inner_test) and not hasattr(
            given.inner_test, "__wrapped__"
        ):
            # Parametrised items share one inner test.
            given.inner_test = leaves_no_task(given.inner_test)


def pytest_collection_finish() -> None:
    """Let garbage be looked for in what tests leave, and not each time in all of them: a fifth less time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def heeds_control_c() -> Iterator[None]:
    """What a shell starts in the background ignores it, and so does what mutmut starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_thread_works_on() -> Iterator[None]:
    """Fail a test after which a thread still works that did not before."""
    before = busy_threads()
    yield
    left = [name for ident, name in busy_threads().items() if ident not in before]
    assert not left, f"the test left threads at work: {', '.join(left)}"
