"""Keeping what is secret out of what people see."""

from typing import TYPE_CHECKING

from .._lazy import lazily
from ._here import hide, hide_fields
from ._redactor import SECRET_NAMES, Redactor

if TYPE_CHECKING:
    from ._log_lines import SecretsFilter, hide_secrets
else:  # for those whose own log lines are to be redacted, too
    __getattr__ = lazily(
        __name__, {"SecretsFilter": "._log_lines", "hide_secrets": "._log_lines"}
    )

__all__ = [
    "SECRET_NAMES",
    "Redactor",
    "SecretsFilter",
    "hide",
    "hide_fields",
    "hide_secrets",
]
