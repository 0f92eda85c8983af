"""How a cache behaves.

Layer: robustness. Rule: a setting that makes no sense is an error with the field's name and bound.
"""

from __future__ import annotations

import math
from typing import final

import attrs

from ._bounds import Number, Whole

__all__ = ["CachePolicy"]


@final
@attrs.frozen(kw_only=True)
class CachePolicy:
    """How a cache behaves.

    Attributes:
        ttl: seconds for which a value is good, > 0; ``inf`` is for ever. A value stored at t is given out before t + ttl.
        max_size: how many values are kept, >= 1; 1024 by default, None is any number. Who was used longest ago goes first.
        stale_if_error: seconds for which a value that is old is kept, to stand in when loading it anew fails; 0, the
            default, is not at all, ``inf`` for ever.
    """

    ttl: float = attrs.field(validator=Number(above=0.0, at_most=math.inf))
    max_size: int | None = attrs.field(default=1024, validator=Whole(1, optional=True))
    stale_if_error: float = attrs.field(default=0.0, validator=Number(at_most=math.inf))
