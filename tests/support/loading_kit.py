"""Something to load, and people who ask for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from agentflow_trio import LoadFailedError
from agentflow_trio.robustness import GuardEvent

Ask = Callable[[str], Awaitable[object]]


@attrs.define
class Shop:
    """Loads in so many seconds. begun: by whom, of what, when. story: what came of it for whom."""

    seconds: float = 1.0
    error: Exception | None = None
    begun: list[tuple[str, str, float]] = attrs.field(factory=list[tuple[str, str, float]])
    story: list[tuple[str, str, float]] = attrs.field(factory=list[tuple[str, str, float]])
    errors: dict[str, Exception] = attrs.field(factory=dict[str, Exception])

    async def load(self, key: str) -> str:
        number = len(self.begun) + 1
        task = trio.lowlevel.current_task()
        self.begun.append((task.name, key, trio.current_time()))
        await trio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return f"{key}{number}"

    async def ask(self, get: Ask, key: str, scope: trio.CancelScope | None = None) -> None:
        """Ask, and write down how it went."""
        name, scope = trio.lowlevel.current_task().name, scope or trio.CancelScope()
        came = "cancelled"
        try:
            with scope:
                came = str(await get(key))
        except LoadFailedError as error:
            came, self.errors[name] = "told of a failure", error
        except Exception as error:  # noqa: BLE001 - any may be asked for
            came, self.errors[name] = "failed", error
        self.story.append((name, came, trio.current_time()))

    async def asked_by(
        self,
        nursery: trio.Nursery,
        get: Ask,
        key: str,
        *names: str,
        scope: trio.CancelScope | None = None,
    ) -> None:
        """Let them ask one after the other, each in a task of that name; go on when all wait."""
        for name in names:
            nursery.start_soon(self.ask, get, key, scope, name=name)
            await wait_all_tasks_blocked()


def told(events: list[GuardEvent]) -> list[dict[str, Any]]:
    """What events say, without what all of them have."""
    hidden = {"guard", "run_id", "seq", "path"}
    return [
        {"event": type(event).__name__}
        | attrs.asdict(
            event, filter=lambda a, value: a.name not in hidden and value is not None
        )
        for event in events
    ]
