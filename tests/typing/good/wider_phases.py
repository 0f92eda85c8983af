"""A later phase may take more than the earlier one returns: a base class, a union, object."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from agentflow_trio import Next, Step


@define
class Article:
    notes: tuple[str, ...]
    count: float = 0.0


class Wide:
    async def prep(self, shared: Article) -> list[str]:
        return list(shared.notes)

    async def exec(self, notes: Sequence[object]) -> int:
        return len(notes)

    async def post(
        self, shared: Article, notes: object, count: float | None, *, some: Next, none: Next
    ) -> Next | None:
        shared.count = count or 0.0
        return some if count else none


async def main() -> None:
    result = await Step(Wide()).run(Article(("a", "b")))
    assert (result.exit, result.state.count) == ("some", 2)
