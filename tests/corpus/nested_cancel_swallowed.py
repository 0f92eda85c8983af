"""Mail interrupted by a shutdown stays queued; the twin catches errors, not cancellation."""

from __future__ import annotations

from random import Random

import trio
from trio.lowlevel import checkpoint


class Mail:
    def __init__(self, address: str) -> None:
        self.address = address
        self.state = "queued"

    async def send(self) -> None:
        for _ in range(2):
            await checkpoint()  # the server
        if "@" not in self.address:
            raise ValueError(self.address)


async def program(rng: Random, buggy: bool) -> dict[str, str]:
    outbox = [Mail(address) for address in ("ann@a", "nobody", "bob@b", "cy@c")]
    caught: type[BaseException] = BaseException if buggy else Exception

    async def postman() -> None:
        for mail in outbox:
            try:
                with trio.move_on_after(5):
                    await mail.send()
                    mail.state = "sent"
            except caught:
                mail.state = "failed"  # and on to the next

    async with trio.open_nursery() as nursery:
        nursery.start_soon(postman)
        for _ in range(12):
            await checkpoint()  # until the signal to shut down
        nursery.cancel_scope.cancel()
    return {mail.address: mail.state for mail in outbox}


def check(obs: dict[str, str]) -> None:
    failed = [address for address, state in obs.items() if state == "failed" and "@" in address]
    assert not failed, (
        f"{failed} count as failed although nothing was wrong with them: except BaseException:"
        " caught the Cancelled of a scope further out, and went on"
    )
