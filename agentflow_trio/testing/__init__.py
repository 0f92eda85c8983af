"""Helpers for testing nodes and flows."""

from ._phases import Phases, phases

__all__ = ["Phases", "phases"]
