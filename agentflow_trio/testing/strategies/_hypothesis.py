"""What is used of Hypothesis, or how to install it.

Layer: testing.
"""

from __future__ import annotations

from ...errors import ExtraMissingError

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import (
        RuleBasedStateMachine,
        initialize,
        precondition,
        rule,
    )
    from hypothesis.strategies import DrawFn, SearchStrategy
    from hypothesis.vendor.pretty import RepresentationPrinter, for_type_by_name
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("hypothesis"):
        raise
    raise ExtraMissingError(
        what="agentflow_trio.testing.strategies", extra="hypothesis"
    ) from missing

__all__ = [
    "DrawFn",
    "RepresentationPrinter",
    "RuleBasedStateMachine",
    "SearchStrategy",
    "for_type_by_name",
    "initialize",
    "precondition",
    "rule",
    "st",
]
