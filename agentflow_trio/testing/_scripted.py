"""A step that plays a script instead of doing anything.

Layer: testing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeAlias, TypeVar, final

import attrs
import trio
from typing_extensions import override

from ..engine import Kind, PlanStep, current_step
from ..errors import NoStepError
from ..flow import BuiltIn
from ..ports import Simulated
from ..types import Exit, Next
from ._errors import ScriptEndedError

__all__ = ["Entry", "Fail", "Scripted"]

State = TypeVar("State")


@final
@attrs.frozen
class Fail:
    """The call fails with this error.

    Attributes:
        error: what is raised; the same object every time.
    """

    error: Exception


Entry: TypeAlias = float | Fail | str | None
"""What a script is made of: seconds to wait, an error, the name of an exit, or None to go on without an exit."""


@final
class Scripted(BuiltIn, Generic[State]):
    """A node whose ``exec`` plays a script: ``flow.replacing({model: Scripted(Article, [Fail(TimeoutError()), 3.0, "ok"])})``.

    Each call of ``exec``, so each attempt, plays on up to and including the next error or exit: this one fails at once,
    then waits three seconds and takes exit ``ok``. Every run of a flow begins the script anew. The state stays as it is.

    Attributes:
        calls: the script, call by call.
    """

    calls: tuple[tuple[float, Fail | str | None], ...]
    _played: dict[object, int]

    def __init__(
        self,
        kind: type[State],
        script: Sequence[Entry],
        /,
        *,
        exits: Sequence[str] = (),
        name: str = "scripted",
    ) -> None:
        """Make a node for states of class *kind*.

        Args:
            kind: the class of the state, for type checkers.
            script: what happens.
            exits: exits that the script does not take, if there are such.
            name: of a step that is made of it; a step that is replaced keeps its own.

        Raises:
            ValueError: a delay is negative or no number, or the script is empty.
        """
        calls = tuple(_calls(script))
        if not calls:
            raise ValueError(f"a script for {kind.__name__} needs at least one entry")
        taken = dict.fromkeys([end for _, end in calls if isinstance(end, str)])
        super().__init__(name=name, exits=tuple(dict.fromkeys([*taken, *exits])))
        object.__setattr__(self, "calls", calls)  # a node is a value, and frozen
        object.__setattr__(self, "_played", {})

    @override
    def compile(self, name: str) -> PlanStep:
        """See `BuiltIn`."""
        exits = tuple(map(Exit, self.exits))
        by_name = {exit_.name: exit_ for exit_ in exits}

        # as much of a checkpoint as any `post`
        async def post(  # noqa: ASYNC124
            _shared: State, _prepared: None, result: str | None
        ) -> Exit | None:
            return None if result is None else by_name[result]  # noqa: ASYNC910

        return PlanStep(
            name=name, kind=Kind.PHASES, prep=self.prep, exec=self.exec, post=post, exits=exits
        )

    async def prep(self, shared: State, /) -> None:
        """Nothing. Not a checkpoint."""

    async def exec(self, _prepared: None, /) -> str | None:
        """Play the next call. Always a checkpoint.

        Returns:
            The exit to take.

        Raises:
            ScriptEndedError: all calls were played.
            Exception: what the script says.
        """
        key = _run_key()
        number = self._played.get(key, 0)
        if number >= len(self.calls):
            raise ScriptEndedError(calls=len(self.calls))
        self._played[key] = number + 1
        delay, end = self.calls[number]
        await trio.sleep(delay)
        if isinstance(end, Fail):
            raise end.error
        return end

    async def post(
        self, _shared: State, _prepared: None, result: str | None, /, **exits: Next
    ) -> Next | None:
        """Take the exit that the script took. Not a checkpoint."""
        return None if result is None else exits[result]  # noqa: ASYNC910 - as it says


def _calls(script: Sequence[Entry]) -> list[tuple[float, Fail | str | None]]:
    found: list[tuple[float, Fail | str | None]] = []
    delay, open_ = 0.0, False
    for entry in script:
        if isinstance(entry, int | float):
            if isinstance(entry, bool) or not entry >= 0:
                raise ValueError(f"a delay is a number of seconds >= 0, not {entry!r}")
            delay, open_ = delay + entry, True
        else:
            found.append((delay, entry))
            delay, open_ = 0.0, False
    if open_:
        found.append((delay, None))
    return found


def _run_key() -> object:
    """What tells one run of a flow from the next; outside any, one run of Trio from the next."""
    clock = trio.lowlevel.current_clock()
    run = (
        clock.execution if isinstance(clock, Simulated) else trio.lowlevel.current_trio_token()
    )
    try:
        return run, current_step().run_id
    except NoStepError:
        return run
