"""Load shedder rules: who is let in at which load. No clock, no I/O.

Layer: robustness. Rules: a load above the threshold is too much, the threshold itself is not; where nobody can tell the
load, nobody is turned away.
"""

from __future__ import annotations

from typing import final

import attrs

__all__ = ["LoadShedderCore", "LoadShedderStatistics"]


@final
@attrs.frozen(kw_only=True)
class LoadShedderStatistics:
    """How things stand.

    Attributes:
        threshold: the highest load at which callers are let in.
        load: as it was told last; None before the first caller, and while it cannot be told.
        entered: how many were let in since the start.
        refused: how many were not.
        unmeasured: how many were let in because the load could not be told.
    """

    threshold: float
    load: float | None
    entered: int
    refused: int
    unmeasured: int


@final
class LoadShedderCore:
    """The state of one load shedder."""

    __slots__ = ("_entered", "_load", "_refused", "_threshold", "_unmeasured")

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._load: float | None = None
        self._entered = 0
        self._refused = 0
        self._unmeasured = 0

    def admit(self, load: float | None) -> bool:
        """Whether somebody is let in at this *load*; None is one that cannot be told.

        Raises:
            TypeError: *load* is nothing that can be compared with a number; nothing changed.
        """
        too_much = load is not None and load > self._threshold
        self._load = load
        if too_much:
            self._refused += 1
            return False
        self._entered += 1
        if load is None:
            self._unmeasured += 1
        return True

    def statistics(self) -> LoadShedderStatistics:
        """How things stand."""
        return LoadShedderStatistics(
            threshold=self._threshold,
            load=self._load,
            entered=self._entered,
            refused=self._refused,
            unmeasured=self._unmeasured,
        )
