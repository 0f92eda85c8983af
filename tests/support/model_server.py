"""The model of docs/examples/digest.py: a real HTTP server on loopback that condenses, or misbehaves by script."""

from __future__ import annotations

from digest_kit import summary
from loopback import (
    Behaviour,
    Handler,
    Model,
    completion,
    crawls,
    hangs_up,
    resets,
    resets_midway,
    says,
    stalls,
)

__all__ = [
    "Behaviour",
    "Handler",
    "Model",
    "completion",
    "condenses",
    "crawls",
    "hangs_up",
    "resets",
    "resets_midway",
    "says",
    "stalls",
]


def condenses(handler: Handler, document: str) -> None:
    name = document.split()[1]
    handler.answer(completion(summary(name), finish_reason="stop"))
