"""SharedState: what is under a key has the key's type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from agentflow_trio import END, SharedState, StateKey, Wiring, flow, step

DRAFT = StateKey("draft", str)
COUNT = StateKey("count", int)
TAGS = StateKey("tags", tuple[str, ...])


def tagged(tags: tuple[str, ...]) -> tuple[str, ...]:
    return (*tags, "new")


@step
async def fill(shared: SharedState) -> None:
    assert shared.is_empty()
    shared.insert(DRAFT, "text")
    shared.insert(COUNT, 1)
    shared.insert(TAGS, ("a",))
    assert_type(shared.get(DRAFT), str | None)
    assert_type(shared.get(COUNT, 0), int)
    assert_type(shared.get(COUNT, "none"), int | str)
    assert_type(shared[TAGS], tuple[str, ...])
    assert_type(shared.update(COUNT, lambda count: count + 1), int)
    assert_type(shared.update(TAGS, tagged), tuple[str, ...])
    assert_type(shared.remove(DRAFT), str | None)
    assert_type(shared.contains_key(COUNT), bool)
    assert_type(iter(shared), Iterator[str])


@flow
def filling() -> Wiring[SharedState]:
    return [fill.then(END)]


async def main() -> None:
    result = await filling.run(SharedState())
    assert (result.state[COUNT], result.state[TAGS]) == (2, ("a", "new"))
    assert result.state.get(DRAFT) is None
    assert (len(result.state), list(result.state)) == (2, ["count", "tags"])
