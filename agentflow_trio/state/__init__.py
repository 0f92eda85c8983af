"""The state of a flow: forked for concurrent work, merged field by field; and the seed's blackboard."""

from typing import TYPE_CHECKING

from .._lazy import lazily
from ._fork_core import fork
from ._hidden_core import HIDING, NOTICE, hidden_values, masked
from ._merge_core import merge
from ._rules import added, latest, merged_by, summed

if TYPE_CHECKING:
    from ._shared import SharedState, StateKey
else:  # 2 ms, and states with fields have no use for them
    __getattr__ = lazily(__name__, {"SharedState": "._shared", "StateKey": "._shared"})

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
