"""``--log`` takes what nodes log as well, where the program has configured neither structlog nor ``logging``."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import structlog

from .conftest import Project

TALKS = """
    import logging
    import structlog

    log = structlog.get_logger()
    old = logging.getLogger("a.library")

    @define
    class Seen:
        word: str = "x"

    @step
    async def look(seen: Seen) -> None:
        log.info("hello", number=1, address="https://ann:hunter2@host/")
        log.msg("plain")
        log.debug("small", level=7)
        old.warning("old %s", "style")
        await current_step().to_thread(log.warning, "from a thread")
        try:
            raise KeyError("https://ann:hunter2@host/")
        except KeyError:
            log.exception("caught")
            old.exception("caught, too")

    @step
    async def fail(seen: Seen) -> None:
        raise ValueError("no")

    @flow
    def talks() -> Wiring[Seen]:
        return [look.then(fail), fail.then(END)]
"""


@contextmanager
def bare() -> Generator[logging.Logger]:
    """As in a process of its own: no handlers, no configuration."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    structlog.reset_defaults()
    try:
        yield root
    finally:
        root.handlers = handlers
        structlog.reset_defaults()


def records(err: str) -> list[dict[str, Any]]:
    """Every line of it as an object."""
    return [json.loads(line) for line in err.splitlines()]


def test_every_line_is_a_record_also_what_nodes_log_and_what_the_run_failed_with(
    project: Project,
) -> None:
    project.write("talks.py", TALKS)
    with bare() as root:
        answer = project.run("run", "talks.py", "--log", "json")
        assert root.handlers == []
        assert not structlog.is_configured()
    assert answer.code == 1
    found = records(answer.err)
    said = [(one["event"], one["level"]) for one in found if one.get("path") == "talks/look"]
    assert said == [
        ("hello", "info"),
        ("plain", "info"),
        ("small", "debug"),
        ("old style", "warning"),
        ("from a thread", "warning"),
        ("caught", "error"),
        ("caught, too", "error"),
        ("node_success", "info"),
    ]
    assert (found[1]["number"], found[1]["visit"], found[1]["flow"]) == (1, 1, "talks")
    assert found[4]["logger"] == "a.library"
    assert "KeyError" in found[6]["exception"]
    assert "KeyError" in found[7]["exception"]
    assert "hunter2" not in answer.err
    assert found[-1]["event"].startswith("flow 'talks' failed: 1 failure\n  exec of talks/fail")
    assert found[-1]["level"] == "error"


def test_what_the_program_has_configured_stays_as_it_is(project: Project) -> None:
    own = """
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    logging.basicConfig(format="mine: %(message)s")
    """
    project.write("talks.py", TALKS + own)
    with bare() as root:
        answer = project.run("run", "talks.py", "--log", "json")
        assert len(root.handlers) == 1
        assert structlog.is_configured()
    assert "mine: old style" in answer.err
    assert "event='hello'" in answer.err
