"""Keeping what is secret out of what people see: one function from text to text.

Layer: redaction, below guards and the engine, since both tell of names that may be secret. Rules: it only ever hides
more, never less; the same text twice gives the same (``text(text(x)) == text(x)``); a text without anything to hide
comes back as it is.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, final

import attrs

from ..types import secrets_alive
from ._known_core import Known, blotted
from ._looks_core import looks

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

    Hidden are, always, the texts of all living `Secret` values of at least 4 characters, also as ``repr``, JSON, a URL,
    HTML, base64 or hexadecimal write them, and those of 3 where they stand alone; with *standard*, what is surely a key or a password by its looks: ``Authorization: Bearer ...``
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
            text: of any length; one without hits takes some microseconds, and with a thousand secrets some tens.
            also: more texts to hide, as the texts of secrets are.
        """
        known = _known((*secrets_alive(), *self._variables(), *also), self.placeholder)
        for _ in range(_PASSES):
            shown = self._once(text, known)
            if shown == text:
                return text
            text = shown
        return self.placeholder  # rules that feed one another: better nothing than a secret

    def _variables(self) -> Iterator[str]:
        if self._names is not None:
            for name in [*os.environ]:
                if _is_named(self._names, name):
                    value = os.environ.get(name, "")  # another thread may have removed it
                    if len(value) >= _SHORTEST_VARIABLE:
                        yield value

    def _once(self, text: str, known: Known | None) -> str:
        spans = () if known is None else known.spans(text)
        if spans:
            text = blotted(text, spans, self.placeholder)
        if self.standard:
            text = self._each_piece(text, self._without_looks)
        for pattern in self._own:
            text = self._each_piece(text, functools.partial(pattern.sub, self._replaced))
        return text

    def _each_piece(self, text: str, change: Callable[[str], str]) -> str:
        """Change *text* between placeholders: what is hidden already is no part of anything to be found."""
        if self.placeholder not in text:
            return change(text)
        return self.placeholder.join(map(change, text.split(self.placeholder)))

    def _without_looks(self, text: str) -> str:
        spans = looks(text)
        return blotted(text, spans, self.placeholder) if spans else text

    def _replaced(self, match: re.Match[str]) -> str:
        whole = match[0]
        start, end = match.span("secret" if "secret" in match.re.groupindex else 0)
        if start == end:
            return whole
        begun = match.start()
        return f"{whole[: start - begun]}{self.placeholder}{whole[end - begun :]}"


@lru_cache(maxsize=16)
def _known(values: tuple[str, ...], placeholder: str) -> Known | None:
    return Known(values, placeholder) if values else None


@lru_cache(maxsize=1024)
def _is_named(names: re.Pattern[str], name: str) -> bool:
    return names.match(name.upper()) is not None
