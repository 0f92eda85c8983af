"""Robustness primitives, usable alone in any Trio program."""

from ._fallback import Fallback
from ._fault_point import FAULTS, FaultPlan, fault_point

__all__ = ["FAULTS", "Fallback", "FaultPlan", "fault_point"]
