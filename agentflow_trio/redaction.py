"""Keeping what is secret out of what people see: one function from text to text.

Layer: redaction, beside state and codec. Rules: it only ever hides more, never less; the same text twice gives the same
(``text(text(x)) == text(x)``); a text without anything to hide comes back as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, final

import attrs

from .types import secrets_alive

__all__ = ["SECRET_NAMES", "Redactor"]

SECRET_NAMES: Final = (
    "*_KEY",
    "*_TOKEN",
    "*_SECRET",
    "*_CREDENTIALS",
    "*PASSWORD*",
    "*PASSWD*",
)
"""Names of environment variables whose values are secrets as a rule; what the command line hides."""

_SHORTEST: Final = 4
"""Characters that a secret must have to be looked for: ``a`` stands in every text."""

_SHORTEST_VARIABLE: Final = 6
"""Characters that the value of a variable must have: some hold ``true`` or a number."""

_PASSES: Final = 50
"""More than any text needs whose rules do not feed one another for ever."""


def _check_texts(name: str, given: tuple[object, ...]) -> None:
    # callers without a type checker need to be told too; a str would be taken for its letters
    is_tuple = type(given) is tuple
    odd = [one for one in given if type(one) is not str or not one] if is_tuple else [given]
    if odd:
        must = f"Redactor: {name} must be a tuple of texts, not empty"
        raise TypeError(f"{must}; found a value of {type(odd[0]).__name__}")


def _is_text(_owner: object, field: attrs.Attribute[str], given: object) -> None:
    if type(given) is not str or not given:
        raise ValueError(f"Redactor: {field.name} must be a text, not empty")


def _compiled(owner: Redactor) -> tuple[re.Pattern[str], ...]:
    _check_texts("patterns", owner.patterns)
    compiled: list[re.Pattern[str]] = []
    for pattern in owner.patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(
                f"Redactor: {pattern!r} is no regular expression: {error}"
            ) from error
    return tuple(compiled)


def _named(owner: Redactor) -> re.Pattern[str] | None:
    _check_texts("environment", owner.environment)
    if not owner.environment:
        return None
    from fnmatch import translate  # noqa: PLC0415 - for those who name variables

    return re.compile("|".join(translate(glob.upper()) for glob in owner.environment))


@final
@attrs.frozen
class Redactor:
    """Hides in texts what must not be shown. Frozen; safe in any thread.

    Hidden are, always, the texts of all living `Secret` values of at least 4 characters, also as ``repr``, JSON, a URL or
    base64 write them; with *standard*, what is surely a key or a password by its looks: ``Authorization: Bearer ...``
    and ``Basic ...``, the password in ``scheme://user:password@host``, ``api_key=...``, ``password=...``,
    ``secret=...`` and ``token=...`` in queries and keyword arguments and as entries of a dict, private keys (PEM),
    JSON Web Tokens, and keys of AWS, GitHub, GitLab, Google, OpenAI and Anthropic, Slack and Stripe.

    Attributes:
        patterns: regular expressions for more; what the group ``(?P<secret>...)`` matches is hidden, without such a group
            all that matches.
        environment: names of environment variables, as globs (``*_TOKEN``), whose values are hidden if they have at
            least 6 characters. They are read each time. `SECRET_NAMES` has the usual ones.
        placeholder: what stands for anything hidden.
        standard: whether to hide what looks like a key or a password.

    Raises:
        TypeError: a pattern or name is no text.
        ValueError: a pattern is no regular expression, or the placeholder is empty.
    """

    patterns: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    environment: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    placeholder: str = attrs.field(default="***", kw_only=True, validator=_is_text)
    standard: bool = attrs.field(default=True, kw_only=True)
    _own: tuple[re.Pattern[str], ...] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(_compiled, takes_self=True),
    )
    _names: re.Pattern[str] | None = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(_named, takes_self=True),
    )

    def text(self, text: str, /, *, also: Iterable[str] = ()) -> str:
        """Return *text* with the placeholder wherever there was something to hide.

        Args:
            text: of any length; one without hits takes some microseconds and one more for every 5 secrets.
            also: more texts to hide; those of fewer than 4 characters are not looked for.
        """
        forms = _forms_of_all((*secrets_alive(), *self._variables(), *also), self.placeholder)
        for _ in range(_PASSES):
            shown = self._once(text, forms)
            if shown == text:
                return text
            text = shown
        return self.placeholder  # rules that feed one another: better nothing than a secret

    def _variables(self) -> Iterator[str]:
        if self._names is not None:
            for name in [*os.environ]:
                if self._names.match(name.upper()):
                    value = os.environ.get(name, "")  # another thread may have removed it
                    if len(value) >= _SHORTEST_VARIABLE:
                        yield value

    def _once(self, text: str, forms: Sequence[str]) -> str:
        hits = [form for form in forms if form in text]
        if hits:
            text = _blotted(text, hits, self.placeholder)
        for pattern in (*(_due(text) if self.standard else ()), *self._own):
            # what is hidden already is no part of anything to be found
            pieces = text.split(self.placeholder)
            text = self.placeholder.join(pattern.sub(self._replaced, piece) for piece in pieces)
        return text

    def _replaced(self, match: re.Match[str]) -> str:
        whole = match[0]
        start, end = match.span("secret" if "secret" in match.re.groupindex else 0)
        if start == end:
            return whole
        begun = match.start()
        return f"{whole[: start - begun]}{self.placeholder}{whole[end - begun :]}"


# ---------------------------------------------------------------- texts that are known


@lru_cache(maxsize=16)
def _forms_of_all(values: tuple[str, ...], placeholder: str) -> tuple[str, ...]:
    """All ways in which *values* may be written, those left out that the placeholder itself contains."""
    forms = dict.fromkeys(form for value in values for form in _forms_of(value))
    return tuple(form for form in forms if form not in placeholder)


@lru_cache(maxsize=1024)
def _forms_of(value: str) -> tuple[str, ...]:
    """The ways in which a text is written: as it is, and as repr, JSON, URLs and base64 write it."""
    if len(value) < _SHORTEST:
        return ()
    import base64  # noqa: PLC0415 - for those who have secrets; with json and urllib 4 ms
    import json  # noqa: PLC0415 - likewise
    from urllib.parse import quote, quote_plus  # noqa: PLC0415 - likewise

    data = value.encode("utf-8", "surrogatepass")
    ways = [
        value,
        repr(value)[1:-1],
        repr(data)[2:-1],
        ascii(value)[1:-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
    ]
    # Within a longer text that is encoded as a whole, a part begins at one of three places of a
    # group of three bytes; the letters at its ends depend on its neighbours and are left out.
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + data).rstrip(b"=").decode()
        inner = coded[(0, 2, 3)[shift] : (len(data) + shift) * 8 // 6]
        ways += [inner, inner.translate(_FOR_URLS)]
    return tuple(dict.fromkeys(way for way in ways if len(way) >= _SHORTEST))


_FOR_URLS: Final = str.maketrans("+/", "-_")


def _blotted(text: str, hits: Sequence[str], placeholder: str) -> str:
    """*text* with everything that one of *hits* covers replaced; what overlaps or touches becomes one."""
    spans: list[list[int]] = []
    for start, end in sorted(_spans(text, hits)):
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], end)
        else:
            spans.append([start, end])
    pieces: list[str] = []
    done = 0
    for start, end in spans:
        pieces += [text[done:start], placeholder]
        done = end
    return "".join([*pieces, text[done:]])


def _spans(text: str, hits: Sequence[str]) -> Iterator[tuple[int, int]]:
    for hit in hits:
        at = text.find(hit)
        while at >= 0:
            yield at, at + len(hit)
            at = text.find(hit, at + 1)


# ---------------------------------------------------------------- texts known by their looks


class _Rule(NamedTuple):
    """What is a secret by its looks; *hints*: in small letters, one of which must be there for it."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]


_WORDS: Final = (
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "accesskey",
    "secret",
    "password",
    "passwd",
    "pwd",
    "token",
)
_NAME: Final = r"(?:api[_-]?key|access[_-]?key|secret(?:[_-]?key)?|password|passwd|pwd|token)"
_GIVEN: Final = r"(?:['\"]\s*[:=]|\s?=)\s*"
_SCHEME: Final = r"(?:bearer|basic|token|digest)"
_PRIVATE: Final = r"[A-Z ]*PRIVATE KEY-----"
_SAYS_NOTHING: Final = r"(?!(?:None|null|True|true|False|false)\b)"


@lru_cache(maxsize=1)
def _rules() -> tuple[_Rule, ...]:
    rules = (
        (
            ("authorization",),
            rf"(?i)authorization['\"]?\s*[:=,]\s*b?['\"]?{_SCHEME}\s+(?P<secret>[^\s'\",;]+)",
        ),
        (("bearer",), r"(?i)\bbearer\s+(?P<secret>(?=[\w.~+/=-]*\d)[\w.~+/=-]{16,})"),
        (("://",), r"://[^\s:/?#@'\"]*:(?P<secret>[^\s/?#'\"]+)@"),
        # name="...": up to the quote that ends it; as an entry of a dict the name is quoted, too
        (_WORDS, rf"(?i){_NAME}{_GIVEN}b?\"(?P<secret>(?:[^\"\\]|\\.)+)\""),
        (_WORDS, rf"(?i){_NAME}{_GIVEN}b?'(?P<secret>(?:[^'\\]|\\.)+)'"),
        (_WORDS, rf"(?i){_NAME}\s?=\s?{_SAYS_NOTHING}(?P<secret>[^\s&'\",;()\[\]{{}}<>]+)"),
        (
            ("-----begin",),
            rf"-----BEGIN {_PRIVATE}[\s\S]*?(?:-----END {_PRIVATE}|\Z)",
        ),
        (("eyj",), r"\beyJ[\w-]+\.eyJ[\w-]+(?:\.[\w-]*)?"),
        (("sk-",), r"\bsk-(?=[\w-]*\d)[\w-]{16,}"),
        (("k_live_", "k_test_"), r"\b[rs]k_(?:live|test)_\w{16,}"),
        (("gh",), r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,})"),
        (("glpat-",), r"\bglpat-[\w-]{20,}"),
        (("akia", "asia"), r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        (("xox",), r"\bxox[a-z]-[\w-]{10,}"),
        (("aiza",), r"\bAIza[\w-]{35}"),
    )
    return tuple(_Rule(hints, re.compile(pattern)) for hints, pattern in rules)


def _due(text: str) -> list[re.Pattern[str]]:
    # `in` at the speed of C: 0.03 us for a hint, where one alternation of all takes 5 us for 100 characters
    small = text.lower()
    return [rule.pattern for rule in _rules() if any(hint in small for hint in rule.hints)]
