"""What the tests of docs/examples/digest.py with a model share: documents about a garden, and the page read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

import digest as example
from agentflow_trio import Flow, RunResult, Share, each
from agentflow_trio.robustness import Guard
from digest import Digest

__all__ = ["garden", "page", "quick", "quoted", "sections", "summary", "text"]


def text(name: str) -> str:
    """A document whose sentences have nothing in common but the garden."""
    own = (" ".join(f"{name}{number}{at}" for at in range(9)) for number in range(3))
    return f"# The {name}\n\n" + "\n".join(f"{words} garden.".capitalize() for words in own)


def summary(name: str) -> str:
    """What a model makes of it."""
    return f"In the garden {name}0 and {name}1 keep {name}2 company."


def quoted(name: str) -> str:
    """What the digest does without a model."""
    return text(name).splitlines()[2]


def garden(home: Path, *names: str) -> Digest:
    """Documents of these names; the model is the test's to name."""
    (home / "beds").mkdir()
    for name in names:
        (home / "beds" / f"{name}.md").write_text(text(name), encoding="utf-8")
    return Digest(folder=str(home / "beds"), out=str(home / "digest.md"), model_name="m1")


def page(result: RunResult[Digest]) -> str:
    return Path(result.state.published).read_text(encoding="utf-8")


def sections(result: RunResult[Digest]) -> dict[str, str]:
    """What the page says of each document: its text by its name."""
    parts = (part.partition("\n") for part in page(result).split("\n## ")[1:])
    return {heading.split("]")[0].removeprefix("[The "): body for heading, _, body in parts}


def quick(
    *,
    attempt_timeout: float = 60.0,
    guards: Sequence[Guard] = (example.circuit, example.pace),
) -> Flow[Digest, ...]:
    """The digest as it is, but it asks again after 10 ms and 20 ms."""
    ask = each(
        example.Ask(),
        concurrent=4,
        tolerate=Share(1.0),
        retry=attrs.evolve(example.again, base_delay=0.01),
        guards=guards,
        attempt_timeout=attempt_timeout,
    )
    return example.digest.replacing({example.ask: ask})
