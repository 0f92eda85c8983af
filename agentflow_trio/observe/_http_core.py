"""As much of HTTP/1.1 as a scrape needs: the head of a request, and a whole response.

Layer: observe. Pure. Rule: one request for each connection, which is closed after the response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, final

import attrs

__all__ = ["HEAD_BYTES", "Request", "parse", "response"]

HEAD_BYTES: Final = 8_192
"""So long may the head of a request be."""

_LINE: Final = re.compile(r"(?P<method>[A-Z]+) (?P<path>[^ ?]+)(\?[^ ]*)? HTTP/1\.[0-9]")


@final
@attrs.frozen
class Request:
    """What was asked for.

    Attributes:
        method: in capitals.
        path: without the query.
        accept: which forms of an answer the client takes; empty for any.
    """

    method: str
    path: str
    accept: str


def parse(head: bytes) -> Request | None:
    """Read the *head* of a request, up to its empty line; None if it is none."""
    first, *rest = head.decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        return None
    accept = [
        value.strip()
        for name, colon, value in (line.partition(":") for line in rest)
        if colon and name.lower() == "accept"
    ]
    return Request(line["method"], line["path"], ", ".join(accept))


def response(
    status: HTTPStatus,
    body: bytes,
    *,
    kind: str = "text/plain; charset=utf-8",
    head_only: bool = False,
    more: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a response; with *head_only* without its *body*, whose length it tells nevertheless."""
    fields = {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **(more or {}),
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if head_only else head + body
