"""What an engine is given, looked at: what type checkers would have said to whoever runs none, and bounds.

Layer: engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any

from ..errors import ResourceError
from ..types import Resource

__all__ = ["check_count", "check_observers", "check_seconds", "check_values"]


def check_count(name: str, value: object) -> None:
    """Refuse what is neither None nor a whole number from 1."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Engine: {name} must be a whole number >= 1, not {value!r}")


def check_seconds(name: str, value: float, *, most: float) -> None:
    """Refuse what is no number of seconds from 0 to *most*, NaN included."""
    if isinstance(value, bool) or not 0.0 <= value <= most:
        raise ValueError(f"Engine: {name} must be a number of seconds >= 0, not {value!r}")


def check_observers(observers: Iterable[object]) -> None:
    """Refuse what is no `Observer`."""
    for observer in observers:
        if not callable(getattr(observer, "observe", None)) or not hasattr(observer, "name"):
            hint = "it needs a name and a method observe(event)"
            raise TypeError(f"Engine: {observer!r} cannot be an observer; {hint}")
        if iscoroutinefunction(getattr(observer, "observe", None)):
            hint = "it is called while the run goes on, so it must not be async; what waits belongs into watch(), see BackgroundObserver, or reads run.events()"
            raise TypeError(f"Engine: observe() of {observer!r} is async; {hint}")


def check_values(resources: Mapping[Resource[Any], object]) -> None:
    """Refuse keys that are no `Resource` and values that are not of the kind of theirs."""
    for key in resources:
        _check_key(key)
    for resource, value in resources.items():
        if not isinstance(value, resource.kind):
            reason = f"must be a {resource.kind.__name__}, not a {type(value).__name__}"
            raise ResourceError(resource=resource.name, step="", reason=reason)


def _check_key(key: object) -> None:
    if not isinstance(key, Resource):
        hint = 'HTTP = Resource("http", Client)'
        raise TypeError(f"Engine: resources must be keyed by Resources, not {key!r}; {hint}")
