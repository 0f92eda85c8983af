"""How a command ends: its exit codes, the error that ends it before anything was run, and the one that loses its answer.

Layer: cli.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import final

import attrs
from typing_extensions import override

from ..errors import AgentFlowError

__all__ = ["MEANING", "ExitCode", "UnwrittenError", "UsageError"]


@final
class ExitCode(IntEnum):
    """What the shell is told. 128 + n follows the convention for a process that signal n ended."""

    SUCCESS = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


MEANING: Mapping[ExitCode, str] = {
    ExitCode.SUCCESS: "success",
    ExitCode.FAILED: "the flow failed, check found problems, or a simulated schedule fails",
    ExitCode.USAGE: "usage or input error, nothing was run; or the answer cannot be written",
    ExitCode.TIMEOUT: "the run's --timeout ran out",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.TERMINATED: "terminated by SIGTERM",
}
"""Every exit code in words, for --help and the documentation."""


@final
@attrs.define(eq=False, kw_only=True)
class UsageError(AgentFlowError):
    """The command cannot be carried out as given. Nothing was run.

    Attributes:
        problem: what is wrong, one sentence.
        details: more lines: a list of mismatches, a traceback; may be empty.
        hint: what to do; may be empty.
    """

    problem: str
    details: tuple[str, ...] = ()
    hint: str = ""

    @override
    def __str__(self) -> str:
        lines = [self.problem, *(f"  {line}" for line in self.details)]
        return "\n".join([*lines, self.hint] if self.hint else lines)


@final
@attrs.define(eq=False, kw_only=True)
class UnwrittenError(AgentFlowError):
    """The answer of a command cannot be written to stdout. What the command does has been done.

    Attributes:
        reason: why, in the words of the system.
    """

    reason: str

    @override
    def __str__(self) -> str:
        return f"the answer cannot be written: {self.reason}"
