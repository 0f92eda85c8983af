"""Events: a closed union of frozen records. Observers: what is told of them."""

from __future__ import annotations

from typing import assert_never

from agentflow_trio import Engine
from agentflow_trio.events import (
    Caught,
    CleanupOverrun,
    ExecutionEvent,
    FallbackUsed,
    NodeCancelled,
    NodeFailed,
    NodeStarted,
    NodeSucceeded,
    Progress,
    Routed,
    RunEnded,
    RunStarted,
)


# ---- a match that leaves kinds out
def incomplete(event: ExecutionEvent) -> str:  # bad
    match event:  # bad: pyright
        case RunStarted():
            return "started"
        case RunEnded():
            return "ended"


# ---- a match that leaves one kind out, and says there is none
def almost(event: ExecutionEvent) -> str:
    match event:
        case RunStarted() | RunEnded():
            return "run"
        case NodeStarted() | NodeSucceeded() | NodeFailed() | NodeCancelled():
            return "node"
        case Routed() | Caught() | FallbackUsed() | Progress() | CleanupOverrun():
            return "more"
        case _:
            assert_never(event)  # bad


# ---- a match on event types that are not all
def by_type(event: RunStarted | RunEnded | NodeStarted) -> str:  # bad
    match event.event_type:  # bad: pyright
        case "run_start":
            return "started"
        case "run_end":
            return "ended"


# ---- a match with an attribute that the event has not
def misspelt_attribute(event: ExecutionEvent) -> str:
    match event:
        case NodeFailed(eror=error):  # bad
            return str(error)
        case _:
            return ""


# ---- an event does not change
def change(event: ExecutionEvent) -> None:
    event.path = "elsewhere"  # bad


# ---- a field of one kind does not change
def change_exit(event: NodeSucceeded) -> None:
    event.exit = "approved"  # bad


# ---- an attribute that no event has
def misspelt(event: ExecutionEvent) -> None:
    print(event.node)  # bad


# ---- metadata is text, and not written to
def annotate(event: ExecutionEvent) -> None:
    event.metadata["seen"] = "yes"  # bad


# ---- where nothing ended there is no duration
def seconds(event: ExecutionEvent) -> float:
    return event.duration_ms / 1000  # bad


# ---- an outcome that there is not
def outcome(event: RunEnded) -> bool:
    return event.outcome == "failed"  # bad


# ---- an event made without its fields
NodeStarted()  # bad

# ---- an event made of positions
NodeStarted("run", 0, "path", 0.0)  # bad

# ---- an event made with an outcome that there is not
RunEnded(
    run_id="run",
    seq=0,
    path="path",
    timestamp=0.0,
    flow="flow",
    outcome="failed",  # bad
    exit=None,
    steps=0,
    error=None,
)


# ---- an event of one's own
class Mine(NodeStarted): ...  # bad


# ---- an observer without a name
class Nameless:
    def observe(self, event: ExecutionEvent, /) -> None: ...


Engine(observers=[Nameless()])  # bad


# ---- an observer that observes another way
class Deaf:
    name = "deaf"

    def notify(self, event: ExecutionEvent, /) -> None: ...


Engine(observers=[Deaf()])  # bad


# ---- an observer of one kind of event only
class Narrow:
    name = "narrow"

    def observe(self, event: NodeStarted, /) -> None: ...


Engine(observers=[Narrow()])  # bad


# ---- an observer that awaits
class Slow:
    name = "slow"

    async def observe(self, event: ExecutionEvent, /) -> None: ...


Engine(observers=[Slow()])  # bad


# ---- an observer that takes more
class Greedy:
    name = "greedy"

    def observe(self, event: ExecutionEvent, run: str, /) -> None: ...


Engine(observers=[Greedy()])  # bad


# ---- an observer whose name is a method
class Method:
    def name(self) -> str:
        return "method"

    def observe(self, event: ExecutionEvent, /) -> None: ...


Engine(observers=[Method()])  # bad


# ---- the class of an observer
class Printer:
    name = "printer"

    def observe(self, event: ExecutionEvent, /) -> None: ...


Engine(observers=[Printer])  # bad

# ---- one observer, not in a list
Engine(observers=Printer())  # bad

# ---- a function for an observer
Engine(observers=[print])  # bad
