"""The state of a flow: forked for concurrent work, merged field by field; and the seed's blackboard."""

from ._fork_core import fork
from ._hidden_core import HIDING, NOTICE, hidden_values, masked
from ._merge_core import merge
from ._rules import added, latest, merged_by, summed
from ._shared import SharedState, StateKey

__all__ = [
    "HIDING",
    "NOTICE",
    "SharedState",
    "StateKey",
    "added",
    "fork",
    "hidden_values",
    "latest",
    "masked",
    "merge",
    "merged_by",
    "summed",
]
