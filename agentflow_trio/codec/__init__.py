"""Values to JSON and back: strictly, and with every mistake at once. The only home of cattrs."""

from ._text import dump, from_data, load, parse, to_data

__all__ = ["dump", "from_data", "load", "parse", "to_data"]
