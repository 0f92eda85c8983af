"""What programs log themselves, inside of runs and outside, has nothing in it that must not be shown."""

from __future__ import annotations

import io
import logging
import logging.handlers
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
import structlog
import trio
from structlog.contextvars import bound_contextvars

from agentflow_trio import (
    END,
    Engine,
    Redactor,
    Secret,
    Wiring,
    current_step,
    flow,
    sensitive,
    step,
)
from agentflow_trio.observe.logs import Logs, console_logger, json_logger
from agentflow_trio.redaction import SecretsFilter, hide_fields, hide_secrets

CANARY = "k4n4ry of a field"


@attrs.define
class Login:
    key: str = attrs.field(default=CANARY, metadata=sensitive)
    pin: int = attrs.field(default=47114711, metadata=sensitive)


def refuse(text: str, why: Exception | None = None) -> None:
    raise ValueError(text) from why


def run_with(say: Callable[[Login], object], engine: Engine | None = None) -> None:
    """Have a node *say* something, itself and in a thread."""

    @step
    async def work(login: Login) -> None:
        say(login)
        await current_step().to_thread(say, login)

    @flow
    def logging_in() -> Wiring[Login]:
        return [work.then(END)]

    async def main() -> None:
        async with engine or Engine() as opened:
            await opened.run(logging_in, Login())

    trio.run(main)


# ---------------------------------------------------------------- structlog


@pytest.mark.parametrize("make", [json_logger, console_logger])
def test_lines_of_nodes_to_loggers_of_ours_are_redacted(make: Callable[..., Any]) -> None:
    file = io.StringIO()
    log = make(file)
    made = Secret("k4n4ry made elsewhere")
    more = {"token": "xyz"}

    def say(login: Login) -> None:
        with bound_contextvars(session=f"of {login.key}"):
            asking = f"asking with {login.key}"
            log.info(asking, pin=login.pin, n=7, **more)
            try:
                refuse(f"{login.key} {made.reveal()}")
            except ValueError:
                log.exception("no", stack_info=True, held={"a": [login, (login.key,)]})

    run_with(say, Engine(observers=[Logs(log)]))
    text = file.getvalue()
    assert "k4n4ry" not in text
    assert "47114711" not in text
    assert text.count("asking with ***") == 2
    assert text.count("ValueError: *** ***") == 2
    assert text.count("of ***") == 4
    assert "xyz" not in text
    outside = f"outside {CANARY}, {made.reveal()}"
    log.info(outside)
    assert f"outside {CANARY}, ***" in file.getvalue()


def test_a_processor_does_the_same_for_a_structlog_of_ones_own() -> None:
    file, more = io.StringIO(), {"password": "xyz"}
    log = structlog.wrap_logger(
        structlog.PrintLogger(file),
        processors=[
            structlog.processors.format_exc_info,
            hide_secrets,
            structlog.processors.JSONRenderer(),
        ],
    )

    def say(login: Login) -> None:
        try:
            refuse(login.key)
        except ValueError:
            no = f"no {login.key}"
            log.exception(no, of=[login.key], ok=None, **more)

    run_with(say)
    text = file.getvalue()
    assert "k4n4ry" not in text
    assert text.count('"of": ["***"], "ok": null, "password": "***", "event": "no ***"') == 2
    assert text.count("ValueError: ***") == 2


OTHER = "0th3r k4n4ry"


class Odd:
    def __str__(self) -> str:
        raise RuntimeError

    def __repr__(self) -> str:
        return f"Odd({OTHER!r})"


def test_values_of_every_kind_are_shown_as_far_as_they_may_be() -> None:
    secret = Secret(OTHER)
    odd, plain = Odd(), object()
    deep: Any = OTHER
    for _ in range(20):
        deep = [deep]
    shown = hide_fields({
        "text": f"a {OTHER}",
        "kept": (1, 2.5, True, None, b"by"),
        "bytes": OTHER.encode(),
        "by": {OTHER: OTHER, "api_key": "x", "token": "", "secret": 7},
        "odd": odd,
        "plain": plain,
        "deep": deep,
        "error": ValueError(OTHER),
        "api_key": "x",
    })
    assert secret.reveal() not in str(shown)
    assert shown.pop("plain") is plain
    assert str(shown.pop("deep")).count("***") == 1
    assert shown == {
        "text": "a ***",
        "kept": (1, 2.5, True, None, b"by"),
        "bytes": "b'***'",
        "by": {"***": "***", "api_key": "***", "token": "", "secret": 7},
        "odd": "Odd('***')",
        "error": "***",
        "api_key": "***",
    }


# ---------------------------------------------------------------- the standard library


@contextmanager
def handled(handler: logging.Handler) -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.own_log_lines")
    logger.addHandler(handler)
    handler.addFilter(SecretsFilter())
    yield logger
    logger.removeHandler(handler)
    handler.close()


def test_records_of_logging_are_redacted_with_their_arguments_tracebacks_and_extras() -> None:
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.setFormatter(
        logging.Formatter("%(message)s | %(card)s %(n)s", defaults={"card": "-"})
    )

    def say(login: Login) -> None:
        try:
            refuse(login.key, OSError(login.pin))
        except ValueError:
            extra = {"card": {"no": login.key}, "n": 7}
            logger.exception("no %s", login.key, extra=extra, stack_info=True)

    with handled(handler) as logger:
        run_with(say, Engine(redactor=Redactor(standard=False)))
        logger.warning("%s is plain outside, %s", CANARY, "password='abc'", extra={"n": 1})
        logger.warning("%d of them, token=abc", extra={"n": 1})
    text = file.getvalue()
    assert text.count("no *** | {'no': '***'} 7\n") == 2
    assert text.count("\nValueError: ***\n") == text.count("\nOSError: ***\n") == 2
    assert text.count("Stack (most recent call last)") == 2
    assert text.count("k4n4ry") == 1
    assert f"{CANARY} is plain outside, password='***' | - 1" in text
    assert "%d of them, token=*** | - 1\n" in text


def test_a_queue_takes_records_that_are_redacted_already() -> None:
    """They are written in a thread that knows of no run."""
    told: queue.Queue[logging.LogRecord] = queue.Queue()
    with handled(logging.handlers.QueueHandler(told)) as logger:

        def say(login: Login) -> None:
            try:
                refuse(login.key)
            except ValueError:
                logger.exception("no")

        run_with(say)
    records = [told.get_nowait() for _ in range(2)]
    assert all(str(record.msg).endswith("ValueError: ***") for record in records)
    assert "k4n4ry" not in str([vars(record) for record in records])


def test_arguments_that_do_not_fit_are_not_shown() -> None:
    record = logging.makeLogRecord({"msg": "%d", "args": (CANARY,)})
    assert SecretsFilter().filter(record)
    assert record.getMessage() == "%d (its arguments do not fit)"


def test_a_record_with_nothing_to_hide_stays_as_it_is() -> None:
    error = ValueError("plain")
    for told in ((ValueError, error, None), (None, None, None)):
        given = {"msg": "%s", "args": (7,), "exc_info": told}
        record = logging.makeLogRecord(given)
        assert SecretsFilter().filter(record)
        assert (record.msg, record.args, record.exc_info, record.exc_text) == (
            "%s",
            (7,),
            told,
            None,
        )
