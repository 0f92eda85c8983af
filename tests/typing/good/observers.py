"""An observer is anything with a name and observe; with wants it is told of some kinds only."""

from __future__ import annotations

from collections.abc import Collection

from attrs import define, field, frozen

from agentflow_trio import END, Engine, Wiring, flow, step
from agentflow_trio.events import ExecutionEvent, NodeStarted, RunEnded
from agentflow_trio.ports import Observer, SelectiveObserver


class Printer:
    name = "printer"

    def __init__(self) -> None:
        self.lines: list[str] = []

    def observe(self, event: ExecutionEvent) -> None:
        self.lines.append(event.event_type)


@frozen
class Counter:
    """A frozen record fits too: the protocol only reads the name."""

    name: str
    paths: list[str] = field(factory=list[str])
    wants: Collection[type[ExecutionEvent]] = (NodeStarted, RunEnded)

    def observe(self, event: ExecutionEvent, /) -> None:
        self.paths.append(event.path)


@define
class Tally:
    count: int = 0


@step
async def add(tally: Tally) -> None:
    tally.count += 1


@flow
def adding() -> Wiring[Tally]:
    return [add.then(END)]


async def main() -> None:
    printer, counter = Printer(), Counter("counter")
    selective: SelectiveObserver = counter
    observers: list[Observer] = [printer, selective]
    async with Engine(observers=observers) as engine:
        await engine.run(adding, Tally())
    assert printer.lines == ["run_start", "node_start", "node_success", "routed", "run_end"]
    assert counter.paths == ["adding/add", "adding"]
