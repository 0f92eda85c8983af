"""Fallback: another value in place of a failure.

Layer: robustness. Rules: cancellation is no failure, so a fallback never stands in for it; it keeps no count and belongs
to no run, so that it stays a value, which may be used in any number of steps and runs at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar, TypeVarTuple, final, overload

import attrs
import trio
from trio.lowlevel import Task, checkpoint_if_cancelled, current_clock, current_root_task

from .._typing import TypeIs, override
from ..errors import text_of
from ..ports import Simulated
from ._around import Surroundings
from ._bounds import named
from ._events import FallbackUsed, OnEvent
from ._fault_point import FAULTS, behind
from ._guard import Listener, Member
from ._verdict_core import is_async, is_group, leaves_of

__all__ = ["Fallback"]

PosArgs = TypeVarTuple("PosArgs")
Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)


@final
class _Missing:
    """No value was given; None is one."""


_MISSING: Final = _Missing()


@final
class _Always(Generic[Value_co]):
    """A function of the error that does not look at it. By hand: attrs would take 0.4 ms of every import."""

    __slots__ = ("value",)

    def __init__(self, value: Value_co) -> None:
        self.value: Value_co = value

    @override
    def __eq__(self, other: object) -> bool:
        return _is_always(other) and bool(self.value == other.value)

    @override
    def __hash__(self) -> int:
        return hash((_Always, self.value))

    @override
    def __repr__(self) -> str:
        from ..redaction import hide  # noqa: PLC0415 - nobody prints them but who looks for a mistake

        return f"_Always(value={hide(repr(self.value))})"

    def __call__(self, _error: Exception, /) -> Value_co:
        return self.value


def _is_always(value: object) -> TypeIs[_Always[object]]:
    return isinstance(value, _Always)


@final
class _Voice:
    """Whom a fallback tells; one that raised is told nothing more in the same run of Trio, or execution of a simulation."""

    __slots__ = ("_guard", "_here", "_listener", "_on_event")

    def __init__(self, guard: str, on_event: OnEvent | None) -> None:
        self._guard = guard
        self._on_event = on_event
        self._listener = Listener(guard, on_event)
        self._here: tuple[Task | None, object] = (None, None)

    @override
    def __reduce__(self) -> tuple[type[_Voice], tuple[str, OnEvent | None]]:
        """What it has heard stays in its process."""
        return _Voice, (self._guard, self._on_event)

    @property
    def around(self) -> Surroundings | None:
        """The step that the caller is in, if anybody listens to its run."""
        return self._listener.around()

    def tell(self, error: BaseException, around: Surroundings | None) -> None:
        """Say that something stands in for *error*. Not a checkpoint; never raises an Exception."""
        if self._on_event is None and around is None:
            return
        clock: object = current_clock()
        here = current_root_task(), clock.execution if isinstance(clock, Simulated) else None
        if here != self._here:
            self._here = here
            self._listener.start_anew()
        told = FallbackUsed(
            guard=self._guard,
            timestamp=trio.current_time(),
            error=type(error).__name__,
            message=_text_of(error),
        )
        self._listener.tell_of(told, around)


@final
@attrs.frozen(init=False)
class Fallback(Member[Value_co]):
    """A value, or a function of the error, that stands in for a failed result.

    ``Fallback("nothing")`` or ``Fallback(by=apologise, on=(TimeoutError,))``, in a step, ``Step(node, fallback=...)``; or
    around any body, ``await fallback.call(fetch, url)``; or as ``@fallback`` above an async function. The value is
    handed out as it is, every time: one that can be changed is better made afresh, ``Fallback(by=lambda _: [])``.

    It holds nothing that changes: any number of tasks, steps and runs may use one at the same time, and two are equal if
    they stand in alike.

    Attributes:
        by: what makes the stand-in.
        on: the errors it stands in for, ``(Exception,)`` by default: what other guards reject and limits that ran out
            are among them. A group counts if it is one, or if every leaf is; cancellation never does.
        name: what events and pictures call it, ``"fallback"`` by default.
        on_event: is told a `FallbackUsed` each time it stands in; says nothing of equality.
    """

    by: Callable[[Exception], Value_co]
    on: tuple[type[Exception], ...]
    name: str
    on_event: OnEvent | None = attrs.field(eq=False, repr=False)
    _voice: _Voice = attrs.field(eq=False, repr=False)

    @overload
    def __init__(
        self,
        value: Value_co,
        /,
        *,
        on: tuple[type[Exception], ...] = ...,
        name: str = ...,
        on_event: OnEvent | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        /,
        *,
        by: Callable[[Exception], Value_co],
        on: tuple[type[Exception], ...] = ...,
        name: str = ...,
        on_event: OnEvent | None = ...,
    ) -> None: ...
    def __init__(
        self,
        value: Value_co | _Missing = _MISSING,
        /,
        *,
        by: Callable[[Exception], Value_co] | None = None,
        on: tuple[type[Exception], ...] = (Exception,),
        name: str = "fallback",
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a fallback.

        Args:
            value: what stands in; or instead of it
            by: a plain function of the error that returns what stands in.
            on: the errors it stands in for.
            name: what events and pictures call it.
            on_event: is told `FallbackUsed`. Inside a run its observers are told anyway.

        Raises:
            TypeError: there is not exactly one of *value* and *by*, *by* is no plain function, *on* is no tuple of
                Exception classes, or *name* is no string.
        """
        if isinstance(value, _Missing) == (by is None):
            raise TypeError("Fallback: give either a value or by=, a function of the error")
        if by is not None and not _is_plain_function(by):
            raise TypeError(f"Fallback: by must be a plain function of the error, not {by!r}")
        if not _are_error_classes(on):
            raise TypeError(f"Fallback: on must be a tuple of Exception classes, not {on!r}")
        named("Fallback", name)
        fields = {
            "by": _Always(value) if not isinstance(value, _Missing) else by,
            "on": on,
            "name": name,
            "on_event": on_event,
            "_voice": _Voice(name, on_event),
        }
        for field, content in fields.items():
            object.__setattr__(self, field, content)

    def instead_of(self, error: Exception, /) -> Value_co:
        """Return what stands in for *error*. Not a checkpoint; what ``by`` raises is raised."""
        return self.by(error)

    @override
    async def call(
        self, fn: Callable[[*PosArgs], Awaitable[Value]], /, *args: *PosArgs
    ) -> Value | Value_co:
        """Return what ``await fn(*args)`` returns, or what stands in for its error.

        A cancellation point; a checkpoint if *fn* is one.

        What *fn* raises is raised itself if it is none of the errors. What ``by`` raises is raised instead, with the error
        as its context.
        """
        await checkpoint_if_cancelled()
        plan = FAULTS.get()
        try:
            return await (fn(*args) if plan is None else behind(plan, self.name, fn, args))
        except Exception as error:
            if not self._takes(error):
                raise
            instead = self.by(error)
            self._voice.tell(error, self._voice.around)
            return instead

    def used_for(self, error: BaseException, /) -> None:
        """Tell ``on_event`` of a stand-in for *error*; for who calls `instead_of` himself. Not a checkpoint."""
        self._voice.tell(error, None)

    def _takes(self, error: Exception) -> bool:
        return isinstance(error, self.on) or all(
            isinstance(leaf, self.on) for leaf in leaves_of(error)
        )


def _text_of(error: BaseException) -> str:
    if not is_group(error):
        return text_of(error)
    return "; ".join(f"{type(leaf).__name__}: {text_of(leaf)}" for leaf in leaves_of(error))


def _is_plain_function(value: object) -> bool:
    return callable(value) and not is_async(value)


def _are_error_classes(kinds: object) -> bool:
    return _is_tuple(kinds) and bool(kinds) and all(map(_is_error_class, kinds))


def _is_tuple(value: object) -> TypeIs[tuple[object, ...]]:
    return isinstance(value, tuple)


def _is_error_class(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)
