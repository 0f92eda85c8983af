"""How many items may fail; the public place of these is `types`, which loads them when asked.

Layer: the lowest. Imports attrs only.
"""

from __future__ import annotations

from typing import final

import attrs

__all__ = ["Count", "Share"]


def _whole(_owner: Count, _field: attrs.Attribute[int], value: int) -> None:
    # callers without a type checker need to be told too
    if type(value) is not int or value < 0:
        raise ValueError(f"Count: how many may fail is a whole number >= 0, not {value!r}")


def _share(_owner: Share, _field: attrs.Attribute[float], value: float) -> None:
    if type(value) not in {int, float} or not 0 <= value <= 1:
        raise ValueError(f"Share: which part may fail is a number from 0 to 1, not {value!r}")


@final
@attrs.frozen
class Count:
    """So many items may fail: ``tolerate=Count(3)``. The fourth ends the step at once.

    Attributes:
        most: how many, >= 0.
    """

    most: int = attrs.field(validator=_whole)


@final
@attrs.frozen
class Share:
    """Such a part of the items may fail: ``tolerate=Share(0.05)``.

    The step ends as soon as it is lost, which with a source of unknown length is at its end.

    Attributes:
        most: 0 to 1.
    """

    most: float = attrs.field(validator=_share)
