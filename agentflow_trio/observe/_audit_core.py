"""What an audit trail consists of: records that each carry the digest of the one before, and how a broken chain is found.

Layer: observe. Rules: no files, no clock. A record has exactly one spelling, so that any changed byte is found; the
digest is over all fields but itself, those of the record before included.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias, final

import attrs

from .._typing import override
from ..errors import AgentFlowError
from ..types import Secret

__all__ = [
    "BEGINNING",
    "AuditBrokenError",
    "AuditHead",
    "AuditRecord",
    "Breakage",
    "Chain",
    "Digester",
    "Fields",
    "Keys",
    "checked",
    "digesters",
    "make_record",
    "read_line",
    "write_line",
]

Fields: TypeAlias = tuple[str, str, str, str, float, int, str]
"""Of a record what its digest is over: who, what, resource, decision, wall_time, seq, previous."""

Keys: TypeAlias = Secret | bytes | Sequence[Secret | bytes] | None
"""A key, or all that there were, the one in use last."""

Digester: TypeAlias = Callable[[bytes], str]
"""From bytes to a digest, as 64 hexadecimal digits."""

Breakage: TypeAlias = Literal[
    "unreadable", "changed", "missing", "out of order", "inserted", "cut off"
]
"""In which way a chain is broken.

``unreadable``: not spelled as a record is. ``changed``: not what its digest says. ``missing``: the records before it are
not there, or those at the end. ``out of order``: it was there before, or belongs before. ``inserted``: it does not
follow the record before it. ``cut off``: the last line has no end, as after a crash in the middle of writing.
"""


@final
@attrs.frozen(kw_only=True)
class AuditRecord:
    """That somebody asked for something, and what was decided.

    Attributes:
        who: who asked (``user:ada``).
        what: for what (``run``, ``read``, ``login``).
        resource: of which thing (``flow:payout``).
        decision: what came of it (``allowed``, ``denied``).
        wall_time: when, in seconds since the epoch.
        seq: its place in the trail, from 0, without gaps.
        previous: the digest of the record before it; 64 zeros for the first.
        digest: that of all the fields above: SHA-256, or HMAC-SHA-256 if the trail has a key.
    """

    who: str
    what: str
    resource: str
    decision: str
    wall_time: float
    seq: int
    previous: str
    digest: str

    @property
    def fields(self) -> Fields:
        """All but the digest."""
        return (
            self.who,
            self.what,
            self.resource,
            self.decision,
            self.wall_time,
            self.seq,
            self.previous,
        )


@final
@attrs.frozen
class AuditHead:
    """How far a trail has come; kept elsewhere, it shows later that nothing was taken from the end.

    Attributes:
        count: how many records.
        digest: that of the last one; 64 zeros if there is none.
    """

    count: int
    digest: str


BEGINNING: Final = AuditHead(0, "0" * 64)
"""The head of a trail without records."""

SHORTEST_KEY: Final = 16
"""Bytes: 128 bits are beyond guessing."""


@final
class AuditBrokenError(AgentFlowError):
    """An audit trail is not what was written.

    Attributes:
        place: the file and line, or the number of the record.
        number: which record or line is the first that is wrong, from 0; how many there are if the end is missing.
        kind: in which way.
        reason: what was found there, and what to do if that is known.
    """

    place: str
    number: int
    kind: Breakage
    reason: str

    @override
    def __str__(self) -> str:
        return f"the audit trail is broken at {self.place}: {self.reason}"


def digesters(keys: Keys) -> Sequence[Digester]:
    """Return the digests of a trail: SHA-256, or for each key HMAC-SHA-256, which only who has the key can make.

    Raises:
        ValueError: a key is shorter than 16 bytes, or there is none in a sequence.
    """
    if keys is None or isinstance(keys, Secret | bytes):
        return [_digester(keys)]
    if not keys:
        raise ValueError("AuditTrail: key must not be empty; None is a trail without a key")
    return [*map(_digester, keys)]


def _digester(key: Secret | bytes | None) -> Digester:
    if key is None:
        return lambda data: hashlib.sha256(data).hexdigest()
    given = key.reveal().encode() if isinstance(key, Secret) else key
    # who has no type checker needs to be told too, and the key is not to be shown
    if type(given) is not bytes or len(given) < SHORTEST_KEY:
        raise ValueError(
            f"AuditTrail: key must be a Secret or random bytes, {SHORTEST_KEY} or more; 32 are better"
        )
    blank = hmac.new(given, digestmod=hashlib.sha256)

    def digest(data: bytes) -> str:
        own = blank.copy()
        own.update(data)
        return own.hexdigest()

    return digest


def make_record(
    head: AuditHead,
    texts: Mapping[str, str],
    wall_time: float,
    *,
    digest: Digester,
    redact: Callable[[str], str],
) -> AuditRecord:
    """Return the record that follows *head*, of ``who``, ``what``, ``resource`` and ``decision`` as *redact* makes them.

    Raises:
        ValueError: a field is no text, or the time is no finite number.
    """
    for name, text in texts.items():
        if type(text) is not str:
            raise ValueError(f"AuditRecord: {name} must be text, not {text!r}")
    if not math.isfinite(wall_time):
        raise ValueError(f"AuditRecord: wall_time must be finite, not {wall_time!r}")
    who, what, resource, decision = map(redact, texts.values())
    fields = (who, what, resource, decision, float(wall_time), head.count, head.digest)
    return _record(fields, digest(_spelled(fields)))


def _record(fields: Fields, digest: str) -> AuditRecord:
    who, what, resource, decision, wall_time, seq, previous = fields
    return AuditRecord(
        who=who,
        what=what,
        resource=resource,
        decision=decision,
        wall_time=wall_time,
        seq=seq,
        previous=previous,
        digest=digest,
    )


def _spelled(fields: Fields, **more: str) -> bytes:
    """The one spelling: JSON in ASCII, keys in this order, no spaces; of a float the shortest that reads back as it."""
    who, what, resource, decision, wall_time, seq, previous = fields
    data = {
        "seq": seq,
        "wall_time": wall_time,
        "who": who,
        "what": what,
        "resource": resource,
        "decision": decision,
        "previous": previous,
        **more,
    }
    return json.dumps(data, separators=(",", ":")).encode("ascii")


def write_line(record: AuditRecord) -> bytes:
    """Return *record* as a line of JSON, its end included."""
    return _spelled(record.fields, digest=record.digest) + b"\n"


def read_line(line: bytes) -> AuditRecord | None:
    """Return the record that `write_line` made *line* of; None if it made no such line."""
    try:
        data: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match data:
        case {
            "seq": int(seq),
            "wall_time": float(wall_time),
            "who": str(who),
            "what": str(what),
            "resource": str(resource),
            "decision": str(decision),
            "previous": str(previous),
            "digest": str(digest),
        } if math.isfinite(wall_time):
            fields = (who, what, resource, decision, wall_time, seq, previous)
            record = _record(fields, digest)
            return record if write_line(record) == line else None
        case _:
            return None


class Chain(NamedTuple):
    """What a whole trail comes to.

    Attributes:
        head: its end.
        key: which of the digests its last record has, from 0.
    """

    head: AuditHead
    key: int


def checked(
    records: Iterable[tuple[str, AuditRecord]],
    *,
    digests: Sequence[Digester],
    head: AuditHead | None,
) -> Chain:
    """Go through *records*, each with its place in words, and return what their chain comes to.

    Args:
        records: what is there.
        digests: those of the trail, oldest first; none is good any more once a later one was used.
        head: what the trail had come to at some time before, if that is known.

    Raises:
        AuditBrokenError: at the first record that is wrong.
    """
    at, key = BEGINNING, 0
    place = "its beginning"
    for place, record in records:
        fits = _fitting(record, digests, key)
        if fits is None:
            other = "" if at.count else ", or the trail has another key"
            raise AuditBrokenError(
                place=place, number=at.count, kind="changed", reason=f"{_CHANGED}{other}"
            )
        found = _amiss(at, record)
        if found is not None:
            raise AuditBrokenError(place=place, number=at.count, kind=found[0], reason=found[1])
        key = fits
        at = AuditHead(at.count + 1, record.digest)
        if head is not None and at.count == head.count and at.digest != head.digest:
            reason = (
                "it is another record than the one that was last when the head was noted; "
                "all up to here may have been written anew"
            )
            raise AuditBrokenError(
                place=place, number=at.count - 1, kind="changed", reason=reason
            )
    if head is not None and at.count < head.count:
        reason = f"there were {head.count} records once; the last {head.count - at.count} are missing"
        raise AuditBrokenError(place=place, number=at.count, kind="missing", reason=reason)
    return Chain(at, key)


_CHANGED: Final = "it was changed: it is not what its digest says"


def _fitting(record: AuditRecord, digests: Sequence[Digester], key: int) -> int | None:
    """Which of *digests*, from *key* on, *record* has; None if it has none of them."""
    if not math.isfinite(record.wall_time):
        return None
    data = _spelled(record.fields)
    fitting = (at for at in range(key, len(digests)) if digests[at](data) == record.digest)
    return next(fitting, None)


def _amiss(at: AuditHead, record: AuditRecord) -> tuple[Breakage, str] | None:
    """What is wrong with *record* after *at*; None if nothing is."""
    if record.seq > at.count:
        return "missing", f"it is record {record.seq}, and record {at.count} is missing here"
    if record.seq < at.count:
        return "out of order", f"it is record {record.seq}, and should be record {at.count}"
    if record.previous != at.digest:
        return "inserted", "it does not follow the record before it; one of the two is not ours"
    return None
