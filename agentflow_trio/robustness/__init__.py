"""Robustness primitives, usable alone in any Trio program."""

from ._fallback import Fallback

__all__ = ["Fallback"]
