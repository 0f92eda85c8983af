"""A burst of edits is saved once; the twin's timer can be cancelled before it has started."""

from __future__ import annotations

from random import Random

import trio


class Autosave:
    """Saves when nobody has typed for half a second."""

    def __init__(self, nursery: trio.Nursery, buggy: bool) -> None:
        self.nursery = nursery
        self.buggy = buggy
        self.timer = trio.CancelScope()
        self.text = ""
        self.saved: list[str] = []

    def type(self, letter: str) -> None:
        self.text += letter
        self.timer.cancel()
        if self.buggy:
            self.nursery.start_soon(self.save_later)
        else:
            self.timer = trio.CancelScope()
            self.nursery.start_soon(self.save_at_rest, self.timer)

    async def save_later(self) -> None:
        self.timer = trio.CancelScope()
        await self.save_at_rest(self.timer)

    async def save_at_rest(self, timer: trio.CancelScope) -> None:
        with timer:
            await trio.sleep(0.5)
            self.saved.append(self.text)


async def program(rng: Random, buggy: bool) -> list[str]:
    async with trio.open_nursery() as nursery:
        autosave = Autosave(nursery, buggy)
        for letter in "trio":
            autosave.type(letter)
            for _ in range(4):
                await trio.lowlevel.checkpoint()
    return autosave.saved


def check(obs: list[str]) -> None:
    assert obs == ["trio"], f"one burst of typing was saved {len(obs)} times: {obs}"
