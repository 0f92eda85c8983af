"""Texts that are secrets by their looks: few and sure kinds, for a report in which words are missing is of no use.

Layer: redaction. Pure. Rules: a text with none of the words that they begin with costs a microsecond; no text takes more
than some time for each of its characters, whoever wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, final

import attrs

from ._known_core import Span

__all__ = ["looks"]


@final
@attrs.frozen(eq=False)
class _Rule:
    """What is a secret by its looks: all of it, or the group ``secret``.

    Attributes:
        hints: in small letters, with one of which it begins.
        pattern: what is tried where a hint stands.
        within: it is a part of a run of letters, digits and dashes, and is looked for in each.
    """

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    within: bool = False


_WORDS: Final = (
    "api_key",
    "api-key",
    "apikey",
    "access_key",
    "access-key",
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
_IN_RUN: Final = r"(?<![\w-])(?>[\w-]*?\b(?={}))"
"""The first such place of a run. What does not fit there fits at no later one, so that nothing is read twice."""


@lru_cache(maxsize=1)
def _rules() -> tuple[_Rule, ...]:
    anchored = (
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
        (("sk_live_", "rk_live_", "sk_test_", "rk_test_"), r"\b[rs]k_(?:live|test)_\w{16,}"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_\w{20,}"),
        (("github_pat_",), r"\bgithub_pat_\w{20,}"),
        (("glpat-",), r"\bglpat-[\w-]{20,}"),
        (("akia", "asia"), r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
        (("xox",), r"\bxox[a-z]-[\w-]{10,}"),
        (("aiza",), r"\bAIza[\w-]{35}"),
    )
    within = (
        ((".eyj",), "eyJ", r"eyJ[\w-]++\.eyJ[\w-]+(?:\.[\w-]*)?"),
        (("sk-",), "sk-", r"sk-(?=[\w-]*\d)[\w-]{16,}"),
    )
    return (
        *(_Rule(hints, re.compile(pattern)) for hints, pattern in anchored),
        *(
            _Rule(
                hints, re.compile(f"{_IN_RUN.format(begin)}(?P<secret>{pattern})"), within=True
            )
            for hints, begin, pattern in within
        ),
    )


@lru_cache(maxsize=1)
def _by_hint() -> dict[str, list[_Rule]]:
    by_hint: dict[str, list[_Rule]] = {}
    for rule in _rules():
        for hint in rule.hints:
            by_hint.setdefault(hint, []).append(rule)
    return by_hint


def looks(text: str) -> Sequence[Span]:
    """Where in *text* something stands that is surely a secret, in any order."""
    small = text.lower()
    by_hint = _by_hint()
    # `in` at the speed of C: 0.03 us for a hint, where one alternation of all takes 5 us for 100 characters
    found = [hint for hint in by_hint if hint in small]
    if not found:
        return ()
    if len(small) != len(text):  # a few letters become two when they are small
        small = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
    due: dict[_Rule, list[int]] = {}
    for hint in found:
        places = _places(small, hint)
        for rule in by_hint[hint]:
            due[rule] = [*due.get(rule, ()), *places]
    return [span for rule, places in due.items() for span in _found(rule, places, text)]


def _found(rule: _Rule, places: list[int], text: str) -> Iterator[Span]:
    if rule.within:
        yield from (match.span("secret") for match in rule.pattern.finditer(text))
        return
    group = "secret" if "secret" in rule.pattern.groupindex else 0
    done = 0
    for at in sorted(places):
        match = rule.pattern.match(text, at) if at >= done else None
        if match is not None:
            done = match.end()
            yield match.span(group)


def _places(text: str, hint: str) -> list[int]:
    places: list[int] = []
    at = text.find(hint)
    while at >= 0:
        places.append(at)
        at = text.find(hint, at + len(hint))
    return places
