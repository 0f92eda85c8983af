"""Texts that are known and must not be shown: how each may be written, and where they stand in a text.

Layer: redaction. Pure. Rule: finding none costs about the same however many there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, final

__all__ = ["SHORTEST", "Known", "Span", "blotted", "forms_of"]

SHORTEST: Final = 4
"""Characters that are looked for wherever they stand: ``a`` stands in every text."""

_WORD: Final = 3
"""Characters that are looked for where they stand alone, as the code of a card does."""

_LINE: Final = 8
"""Characters that a line of a secret must have to be looked for by itself."""

_MANY: Final = 150
"""Forms above which looking at every place of a text is quicker than looking for every form."""


def _bytes_of(value: str) -> bytes:
    """What *value* was read from: bytes that are no text are there as lone surrogates, as Python reads names of files."""
    try:
        return value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")


def _in_repr(text: str) -> str:
    return repr(f"{text}'\"")[1:-4]  # beside quotes of both kinds


def _in_json(text: str) -> str:
    import json  # noqa: PLC0415 - for those who have secrets

    return json.dumps(text)[1:-1]


_PERCENT: Final = re.compile(r"%[0-9A-F]{2}")
_FOR_URLS: Final = str.maketrans("+/", "-_")

Span = tuple[int, int]
"""From where to where, the end not included."""


@final
class Known:
    """What is known at one time, ready to be looked for."""

    __slots__ = ("_forms", "_index", "_used", "_words")

    def __init__(self, values: Sequence[str], placeholder: str) -> None:
        """Look for *values*; what *placeholder* itself contains is not looked for."""
        forms = dict.fromkeys(form for value in values for form in forms_of(value))
        self._forms: Sequence[str] = [form for form in forms if form not in placeholder]
        words = dict.fromkeys(re.escape(value) for value in values if len(value) == _WORD)
        self._words: re.Pattern[str] | None = None
        if words:
            self._words = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)")
        self._index: dict[str, list[str]] | None = None
        self._used = False

    def spans(self, text: str) -> Sequence[Span]:
        """Where something known stands in *text*, in any order."""
        words = (
            [] if self._words is None else [hit.span() for hit in self._words.finditer(text)]
        )
        if len(self._forms) <= _MANY or not self._used:
            # an index of what was renewed meanwhile would be made for one text
            self._used = True
            hits = [form for form in self._forms if form in text]
            return [*words, *_places(text, hits)]
        return [*words, *self._indexed(text)]

    def _indexed(self, text: str) -> Iterator[Span]:
        index = self._index
        if index is None:
            index = self._index = {}
            for form in self._forms:
                index.setdefault(form[:SHORTEST], []).append(form)
        for at in range(len(text) - SHORTEST + 1):
            forms = index.get(text[at : at + SHORTEST])
            if forms is not None:
                for form in forms:
                    if text.startswith(form, at):
                        yield at, at + len(form)


def _places(text: str, hits: Sequence[str]) -> Iterator[Span]:
    for hit in hits:
        at = text.find(hit)
        while at >= 0:
            yield at, at + len(hit)
            at = text.find(hit, at + 1)


def blotted(text: str, spans: Sequence[Span], placeholder: str) -> str:
    """*text* with *placeholder* for all that *spans* cover; what overlaps or touches becomes one."""
    merged: list[list[int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    pieces: list[str] = []
    done = 0
    for start, end in merged:
        pieces += [text[done:start], placeholder]
        done = end
    return "".join([*pieces, text[done:]])


@lru_cache(maxsize=4096)
def forms_of(value: str) -> tuple[str, ...]:
    """The ways in which a text is written: as it is, line by line, and as repr, JSON, URLs, HTML, base64 and hex write it."""
    if len(value) < SHORTEST:
        return ()
    import base64  # noqa: PLC0415 - for those who have secrets; with html, json and urllib 6 ms
    import html  # noqa: PLC0415 - likewise
    import json  # noqa: PLC0415 - likewise
    from urllib.parse import quote, quote_plus  # noqa: PLC0415 - likewise

    data = _bytes_of(value)
    ways = [
        value,
        data.decode("utf-8", "backslashreplace"),
        repr(value)[1:-1],
        _in_repr(value),
        repr(data)[2:-1],
        ascii(value)[1:-1],
        _in_json(value),
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
        _PERCENT.sub(lambda byte: byte[0].lower(), quote(data, safe="")),
        html.escape(value),
        html.escape(value, quote=False),
        data.hex(),
        data.hex().upper(),
    ]
    # the text of an error is often the repr of another text, or a part of JSON
    ways += [once(way) for way in dict.fromkeys(ways) for once in (_in_repr, _in_json)]
    for way in dict.fromkeys(
        ways
    ):  # and a page may show what is itself written in one of these
        as_text = html.escape(way, quote=False)
        ways += [as_text, as_text.replace('"', "&quot;"), html.escape(way)]
    # reports and loggers put something before each line
    for way in dict.fromkeys(ways):
        if "\n" in way:
            ways += [part for line in way.splitlines() if len(part := line.strip()) >= _LINE]
    # Within a longer text that is encoded as a whole, a part begins at one of three places of a
    # group of three bytes; the letters at its ends depend on its neighbours and are left out.
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + data).rstrip(b"=").decode()
        inner = coded[(0, 2, 3)[shift] : (len(data) + shift) * 8 // 6]
        ways += [inner, inner.translate(_FOR_URLS)]
    return tuple(dict.fromkeys(way for way in ways if len(way) >= SHORTEST))
