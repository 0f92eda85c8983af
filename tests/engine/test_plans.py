"""What a plan step has when it is made, before anything is linked to it."""

from __future__ import annotations

import pytest

from agentflow_trio.engine import Kind, PlanStep


@pytest.mark.parametrize("phase", ["prep", "exec", "post"])
def test_a_phase_that_a_kind_of_step_has_not_got_says_so(phase: str) -> None:
    with pytest.raises(AssertionError, match="this kind of step has no such phase"):
        getattr(PlanStep(name="out", kind=Kind.WAY_OUT), phase)()
