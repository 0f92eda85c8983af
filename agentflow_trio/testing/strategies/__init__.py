"""Strategies of Hypothesis, and a state machine that steps a simulation: the home of that import. Needs the extra ``hypothesis``.

Policies, states, flows and fault plans, all of them valid by construction, which shrink to the simplest.
"""

from . import _printing as _printing  # registers how policies are shown
from ._flows import flows, scripted_flows
from ._guards import guards
from ._machine import SimulationMachine
from ._numbers import durations
from ._plans import fault_plans, wrongs
from ._policies import (
    adaptive_limit_policies,
    bulkhead_policies,
    cache_policies,
    chaos_policies,
    circuit_policies,
    hedge_policies,
    pool_policies,
    rates,
    retry_budgets,
    retry_policies,
    timeouts,
    token_bucket_policies,
    window_policies,
)
from ._states import secrets, states

__all__ = [
    "SimulationMachine",
    "adaptive_limit_policies",
    "bulkhead_policies",
    "cache_policies",
    "chaos_policies",
    "circuit_policies",
    "durations",
    "fault_plans",
    "flows",
    "guards",
    "hedge_policies",
    "pool_policies",
    "rates",
    "retry_budgets",
    "retry_policies",
    "scripted_flows",
    "secrets",
    "states",
    "timeouts",
    "token_bucket_policies",
    "window_policies",
    "wrongs",
]
