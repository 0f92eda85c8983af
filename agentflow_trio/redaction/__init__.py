"""Keeping what is secret out of what people see."""

from ._here import hide, hide_deeply
from ._redactor import SECRET_NAMES, Redactor

__all__ = ["SECRET_NAMES", "Redactor", "hide", "hide_deeply"]
