"""Logs, through structlog: the home of that import. One record per event, and fields for what nodes log themselves.

Layer: observe. Rules: nothing is configured for the whole program; a logger made here raises nothing at whoever logs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, NoReturn, Protocol, TextIO, TypeAlias, assert_never, final

import structlog
from structlog.contextvars import (
    bind_contextvars,
    get_contextvars,
)
from structlog.processors import ExceptionRenderer, StackInfoRenderer, add_log_level
from structlog.typing import FilteringBoundLogger, Processor

from .._typing import override
from ..events import ExecutionEvent, RunEnded, RunStarted
from ..ports import Where
from ..redaction import hide_fields
from ._log_core import BY_OUTCOME, LEVELS, NUMBERS, OWN, Level, fields_of
from ._log_lines_core import console_line, iso, json_line, ordered
from ._wall import RunTime, WallTimes

__all__ = [
    "BY_OUTCOME",
    "LEVELS",
    "OWN",
    "EventLogger",
    "Level",
    "Logs",
    "console_logger",
    "json_logger",
    "taking_over",
]


_Values: TypeAlias = tuple[tuple[ContextVar[object], object], ...]
_Before: TypeAlias = list[Token[object]]


class EventLogger(Protocol):
    """What records are given to: any bound logger of structlog."""

    def log(self, level: int, event: str, **fields: object) -> object:
        """Log *event* at a level of ``logging``."""
        ...


# What structlog takes for not bound; bound like a value, leaving restores what was there before.
_NOTHING: Final = ...


def _variable(name: str) -> ContextVar[object]:
    """The variable in which structlog keeps *name*: setting it takes 0.1 us, where `bind_contextvars` takes 1.2."""
    token = bind_contextvars(**{name: _NOTHING})[name]
    token.var.reset(token)
    return token.var


_RUN_ID, _FLOW, _PATH = map(_variable, ("run_id", "flow", "path"))
_VISIT, _ATTEMPT, _ITEM = map(_variable, ("visit", "attempt", "item"))
_NOWHERE: Final = ((_VISIT, _NOTHING), (_ATTEMPT, _NOTHING), (_ITEM, _NOTHING))
_NO_RUN: Final = (*_NOWHERE, (_RUN_ID, _NOTHING), (_FLOW, _NOTHING), (_PATH, _NOTHING))
_TOLD: Final[ContextVar[bool]] = ContextVar("agentflow_trio.observe.logs.told", default=False)
"""Whether a record is that of an event of a run, whose texts are redacted; others are here."""
_PLAIN: Final = frozenset({
    "timestamp",
    "level",
    "run_id",
    "flow",
    "path",
    "visit",
    "attempt",
    "item",
})
_NOW: Final[ContextVar[RunTime | None]] = ContextVar(
    "agentflow_trio.observe.logs", default=None
)


@final
class Logs:
    """Logs every event, and has what nodes log say where: ``Engine(observers=[Logs(json_logger(sys.stderr))])``.

    Inside of nodes, their child tasks and their threads every record has ``run_id``, ``flow``, ``path``, ``visit``,
    ``attempt`` and, in an item, ``item``, through `structlog.contextvars`.

    Attributes:
        name: what reports call it.
        wants: the kinds of events at or above the level, and those that begin and end a run.
    """

    name = "logs"

    def __init__(
        self,
        logger: EventLogger | None = None,
        *,
        level: Level = "info",
        levels: Mapping[type[ExecutionEvent], Level] | None = None,
    ) -> None:
        """Set where records go, and which there are.

        Args:
            logger: a bound logger of structlog; by default the one that the application configured.
            level: events below it are not logged, and not even built if nobody else wants them.
            levels: the levels of some kinds of events, for those of the table.

        Raises:
            ValueError: there is no such level.
        """
        _check("level", level)
        by_kind, by_outcome = dict(LEVELS), dict(BY_OUTCOME)
        for kind, given in () if levels is None else levels.items():
            _check(f"levels[{kind.__name__}]", given)
            by_kind[kind] = given
            if kind is RunEnded:
                by_outcome = dict.fromkeys(BY_OUTCOME, given)
        self._logger: EventLogger = logger or structlog.get_logger("agentflow_trio")
        self._levels = {kind: NUMBERS[given] for kind, given in by_kind.items()}
        self._ends = {outcome: NUMBERS[given] for outcome, given in by_outcome.items()}
        self._least = NUMBERS[level]
        self._times = WallTimes()
        loud = (kind for kind, number in self._levels.items() if number >= self._least)
        self.wants: frozenset[type[ExecutionEvent]] = frozenset({*loud, RunStarted, RunEnded})

    def observe(self, event: ExecutionEvent, /) -> None:
        """Log *event*, if its level is high enough."""
        if isinstance(event, RunStarted):
            self._times.begin(event)
        number = self._number(event)
        if number >= self._least:
            fields = fields_of(event)
            # its own fields are all there is to say of where, for it may be told elsewhere
            hidden = _bind(_NOWHERE if event.run_id else _NO_RUN)
            told = _TOLD.set(bool(event.run_id))
            try:
                self._logger.log(
                    number, event.event_type, timestamp=iso(self._times.at(event)), **fields
                )
            finally:
                _restore(hidden)
                _TOLD.reset(told)
        if isinstance(event, RunEnded):
            self._times.forget(event.run_id)

    def _number(self, event: ExecutionEvent) -> int:
        if isinstance(event, RunEnded):
            return self._ends[event.outcome]
        return self._levels[type(event)]

    def around(self, where: Where, /) -> AbstractContextManager[object]:
        """Bind where it is in the context, and restore what was there before."""
        return _Bound(where, self._times)


@final
class _Bound:
    """One stretch of a run, as context variables: those that it does not share with the stretch around it."""

    __slots__ = ("_news", "_now", "_time", "_tokens")

    def __init__(self, where: Where, times: WallTimes) -> None:
        self._news = _news(where)
        self._time = times.of_run(where.run_id) if where.kind == "run" else None

    def __enter__(self) -> None:
        self._tokens = _bind(self._news)
        if self._time is not None:
            self._now: Token[RunTime | None] = _NOW.set(self._time)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        _restore(self._tokens)
        if self._time is not None:
            _NOW.reset(self._now)


def _news(where: Where) -> _Values:
    """What is bound in a stretch and not around it."""
    match where.kind:
        case "step":
            return (_PATH, where.path), (_VISIT, where.visit), (_ATTEMPT, where.attempt)
        case "run":
            return (
                *_NOWHERE,
                (_RUN_ID, where.run_id),
                (_FLOW, where.flow),
                (_PATH, where.path),
            )
        case "item":
            return (_PATH, where.path), (_ATTEMPT, where.attempt), (_ITEM, where.item)
        case "attempt":
            return ((_ATTEMPT, where.attempt),)
        case _:
            assert_never(where.kind)


def _bind(values: _Values) -> _Before:
    return [variable.set(value) for variable, value in values]


def _restore(before: _Before) -> None:
    for token in before:
        token.var.reset(token)


def _check(argument: str, level: str) -> None:
    if level not in NUMBERS:
        known = ", ".join(NUMBERS)
        raise ValueError(f"Logs: {argument} must be one of {known}, not {level!r}")


# ---------------------------------------------------------------- loggers


def console_logger(file: TextIO) -> FilteringBoundLogger:
    """Make a logger that writes lines for people into *file*.

    A record is one line, and what does not print in it is escaped: text from outside can neither forge a line nor move the
    cursor. Lines of a traceback begin with a bar. What a run hides, and secrets anywhere, are ``***`` in every line, also in
    those that nodes log themselves: see `agentflow_trio.redaction.hide`. Nothing is raised if *file* cannot be written; the next line that can
    be says in ``lines_lost`` how many could not.
    """
    return _logger(file, console_line)


def json_logger(file: TextIO) -> FilteringBoundLogger:
    """Make a logger that writes an object of JSON per line into *file*, in ASCII; otherwise as `console_logger`."""
    return _logger(file, json_line)


def _logger(
    file: TextIO, render: Callable[[Mapping[str, object]], str]
) -> FilteringBoundLogger:
    lines = _Lines(file)

    def line(_: object, __: str, said: MutableMapping[str, Any]) -> str:
        if lines.lost:
            said["lines_lost"] = lines.lost
        around = _hidden(get_contextvars())
        record = said if _TOLD.get() else _hidden(said)
        return render(ordered(record, around, {"timestamp": _stamp(said)}))

    processors: list[Processor] = [
        add_log_level,
        StackInfoRenderer(),
        ExceptionRenderer(),
        line,
    ]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        lines,
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        context_class=dict,
    )
    return logger.bind()  # or it would do that for each line


def _hidden(fields: Mapping[str, object]) -> Mapping[str, object]:
    """*fields* as they may be shown; of those that are always there is nothing to hide."""
    if _PLAIN.issuperset(fields):
        return fields
    more = {name: value for name, value in fields.items() if name not in _PLAIN}
    return {**fields, **hide_fields(more)}


def _stamp(said: Mapping[str, object]) -> object:
    """When it is said: in a run in its time, which a simulation makes up."""
    if "timestamp" in said:
        return said["timestamp"]
    time = _NOW.get()
    return iso(datetime.now(UTC).timestamp() if time is None else time.now())


@final
class _Lines:
    """A file that is written line by line, from any thread.

    Attributes:
        lost: lines that could not be written since the last that could.
    """

    def __init__(self, file: TextIO) -> None:
        self.lost: int = 0
        self._file = file
        self._encoding: str = file.encoding or "utf-8"
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Write *line* at once."""
        if not line.isascii():
            line = line.encode(self._encoding, "backslashreplace").decode(self._encoding)
        with self._lock:
            try:
                self._file.write(f"{line}\n")
                self._file.flush()
            except (OSError, ValueError):  # ValueError: it is closed
                self.lost += 1
            else:
                self.lost = 0

    debug = info = warning = error = critical = write


# ---------------------------------------------------------------- for applications


@contextmanager
def taking_over(logger: FilteringBoundLogger, veil: Callable[[Any], Any]) -> Generator[None]:
    """Let *logger* write what anybody logs within, by structlog or ``logging``, if the program has configured neither.

    This is for whoever owns the process, as the command line does. *veil* makes of fields what may be shown.
    """
    root, handler = logging.getLogger(), _Handler(logger, veil)
    bare, unset = not root.handlers, not structlog.is_configured()
    if unset:
        structlog.configure(
            processors=[_Taken(logger, veil)],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            cache_logger_on_first_use=False,
        )
    if bare:
        root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        if unset:
            structlog.reset_defaults()


@final
class _Taken:
    """A processor of structlog that passes every record on."""

    def __init__(self, logger: FilteringBoundLogger, veil: Callable[[Any], Any]) -> None:
        self._logger = logger
        self._veil = veil
        self._render = (StackInfoRenderer(), ExceptionRenderer())

    def __call__(self, given: object, level: str, said: MutableMapping[str, Any]) -> NoReturn:
        """Pass it on; what is made of an exception comes first, since that may not be shown as it is.

        Raises:
            DropEvent: always, for nothing is left to do.
        """
        for render in self._render:
            said = render(given, level, said)
        event, fields = str(said.pop("event", "")), self._veil(dict(said))
        # what is called otherwise, as ``msg``, is information
        number = NUMBERS.get(level, logging.INFO)
        self._logger.bind(**fields).log(number, self._veil(event))
        raise structlog.DropEvent


@final
class _Handler(logging.Handler):
    """A handler of ``logging`` that does the same."""

    def __init__(self, logger: FilteringBoundLogger, veil: Callable[[Any], Any]) -> None:
        super().__init__()
        self._logger = logger
        self._veil = veil

    @override
    def emit(self, record: logging.LogRecord) -> None:
        said = {"logger": record.name}
        if record.exc_info:
            said["exception"] = logging.Formatter().formatException(record.exc_info)
        logger = self._logger.bind(**self._veil(said))
        logger.log(record.levelno, self._veil(record.getMessage()))
