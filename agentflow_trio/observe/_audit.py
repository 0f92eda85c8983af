"""Where an audit trail is kept: a file that is only ever appended to, or memory.

Layer: observe. Rules: a record is written whole, by one call of the system, or not at all; what cannot be written is
raised, so that a decision that nobody would learn of need not be taken. Nothing here is a checkpoint.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, Self, final

from .._typing import override
from ..errors import AgentFlowError
from ..ports import WallClock
from ..redaction import Redactor
from ..types import RUNS
from ._audit_core import (
    AuditBrokenError,
    AuditHead,
    AuditRecord,
    Keys,
    checked,
    digesters,
    make_record,
    read_line,
    write_line,
)

__all__ = ["AuditInUseError", "AuditTrail", "verify_audit"]

_WE = "agentflow_trio"
"""Who renews a key."""


@final
class AuditInUseError(AgentFlowError):
    """Another trail writes to the same file, in this process or in another.

    Attributes:
        path: the file.
    """

    path: str

    @override
    def __str__(self) -> str:
        return f"{self.path} is being written to by somebody else; give each process a trail of its own"


@final
class AuditTrail:
    """Security events, each with the digest of the one before it: what was changed afterwards is found.

    ``with AuditTrail("audit.jsonl", key=key) as trail:``, then ``trail.record(...)`` for each decision, before it takes
    effect. Threads may share one. Without a key, who can write to the file can write a whole new chain; with one, that
    needs the key as well. See `verify_audit` for what is found and what is not.
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        key: Keys = None,
        head: AuditHead | None = None,
        redactor: Redactor | None = None,
        fsync: bool = False,
        wall_clock: WallClock | None = None,
    ) -> None:
        """Open the trail in the file at *path*, and check all that is in it, 20 us for each record.

        Args:
            path: a plain file, no link to one; made if it is not there, readable for its owner only. None: the trail
                is kept in memory.
            key: a secret of 16 bytes or more that the digests are made with; it is in none of the records. Of several,
                oldest first, the last is used from now on; where it was not before, a record says so.
            head: what the trail had come to when it was last noted, if it was.
            redactor: hides what must not be shown in every text before it is written; by default `Redactor` with its
                own defaults. Inside of a node, what its run hides is hidden besides.
            fsync: wait after each record until the disk has it, milliseconds; otherwise a failure of the whole machine
                may cost the last seconds. What is written survives the end of the process in either case.
            wall_clock: the machine's by default.

        Raises:
            ValueError: the key is too short.
            AuditInUseError: another trail has the file open.
            AuditBrokenError: what is in the file is not what was written; nothing is appended to that.
            OSError: it cannot be opened, or is no plain file.
        """
        digests = digesters(key)
        self._digest = digests[-1]
        self._redactor = redactor or Redactor()
        self._now = time.time if wall_clock is None else wall_clock.now  # noqa: TID251 - for people, and from any thread
        self._lock = threading.Lock()
        self._store: _Store = _Memory() if path is None else _File(Path(path), fsync=fsync)
        try:
            self._head, used = checked(self._store.placed(), digests=digests, head=head)
            if self._head.count and used < len(digests) - 1:
                self.record(who=_WE, what="renew key", resource="audit trail", decision="done")
        except BaseException:
            self._store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let others have it. May be called again. Not a checkpoint."""
        with self._lock:
            self._store.close()

    @property
    def head(self) -> AuditHead:
        """How far it has come; note it where who can write to the file cannot."""
        return self._head

    @property
    def records(self) -> tuple[AuditRecord, ...]:
        """All records, of a file read anew.

        Raises:
            AuditBrokenError: what is in the file is not what was written.
        """
        with self._lock:
            return tuple(record for _, record in self._store.placed())

    def record(self, *, who: str, what: str, resource: str, decision: str) -> AuditRecord:
        """Append a record and return it, as written. Not a checkpoint; some 50 us, with ``fsync`` milliseconds.

        Raises:
            OSError: it cannot be written; the file is as it was before.
            AuditBrokenError: somebody else has changed the file meanwhile.
            ValueError: a field is no text, or the trail is closed.
        """
        texts = {"who": who, "what": what, "resource": resource, "decision": decision}
        with self._lock:
            record = make_record(
                self._head, texts, self._now(), digest=self._digest, redact=self._redact
            )
            self._store.append(record)
            self._head = AuditHead(record.seq + 1, record.digest)
        return record

    def _redact(self, text: str) -> str:
        veil = None if RUNS.veil is None else RUNS.veil()
        return self._redactor.text(text if veil is None else veil(text))


def verify_audit(
    source: Path | str | Iterable[AuditRecord],
    *,
    key: Keys = None,
    head: AuditHead | None = None,
) -> AuditHead:
    """Check every record of a trail, in its file or as records, and return its head. Not a checkpoint.

    Found is any record that was changed, removed, inserted, repeated or moved, and a line that was cut off. What was
    taken from the end is found only with a *head* that was noted before; a chain that was written anew, all of it, only
    with a *head* or a *key*.

    Args:
        source: the file, which may be in use, or the records.
        key: that of the trail, or all that there were, oldest first.
        head: what the trail had come to at some time before; it may have gone on since.

    Raises:
        AuditBrokenError: something is wrong; it names the first place.
        OSError: the file cannot be read.
    """
    digests = digesters(key)
    if isinstance(source, str | Path):
        path = Path(source)
        with path.open("rb") as lines:
            found, used = checked(_placed(path, lines), digests=digests, head=head)
    else:
        found, used = checked(_numbered(source), digests=digests, head=head)
    if found.count and used < len(digests) - 1:
        # who has an old key only could otherwise write all of it anew
        reason = (
            "no record was made with the last of the keys: those that were are missing, "
            "or the trail was not opened with it yet"
        )
        raise AuditBrokenError(
            place="its end", number=found.count, kind="missing", reason=reason
        )
    return found


def _numbered(records: Iterable[AuditRecord]) -> Iterator[tuple[str, AuditRecord]]:
    return ((f"record {number}", record) for number, record in enumerate(records))


def _placed(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, AuditRecord]]:
    """The records in a file, each with its file and line."""
    whole = 0
    for number, line in enumerate(lines):
        place = f"{path}:{number + 1}"
        record = read_line(line)
        if record is None:
            if line.endswith(b"\n"):
                raise AuditBrokenError(
                    place=place,
                    number=number,
                    kind="unreadable",
                    reason="this is no line of an audit trail",
                )
            reason = (
                f"it is cut off in the middle of a line; whole records end at byte {whole}: "
                f"truncate -s {whole} {path}  lets the trail go on from there"
            )
            raise AuditBrokenError(place=place, number=number, kind="cut off", reason=reason)
        whole += len(line)
        yield place, record


# ---------------------------------------------------------------- where records are


class _Store(Protocol):
    def placed(self) -> Iterator[tuple[str, AuditRecord]]:
        """All records, each with its place in words."""
        ...

    def append(self, record: AuditRecord) -> None:
        """Keep *record*."""
        ...

    def close(self) -> None:
        """Take no more."""
        ...


@final
class _Memory:
    def __init__(self) -> None:
        self._records: list[AuditRecord] = []
        self._open = True

    def placed(self) -> Iterator[tuple[str, AuditRecord]]:
        return _numbered(self._records)

    def append(self, record: AuditRecord) -> None:
        if not self._open:
            raise ValueError("AuditTrail: it is closed")
        self._records.append(record)

    def close(self) -> None:
        self._open = False


@final
class _File:
    """A file with one writer, who knows how long it is."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._name = path.absolute()  # of a program that goes elsewhere, too
        self._fsync = fsync
        if path.is_symlink():
            # who may change where it leads would decide where records go
            reason = "it is a symbolic link; name the file itself"
            raise OSError(errno.ELOOP, reason, str(path))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # of a pipe
        is_new = not path.exists()
        self._file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
        try:
            _check_plain(self._file.fileno(), path)
            _lock(self._file.fileno(), path)
            if fsync and is_new:
                _keep_name(path)
        except BaseException:
            self._file.close()
            raise
        self._size = os.fstat(self._file.fileno()).st_size

    def placed(self) -> Iterator[tuple[str, AuditRecord]]:
        self._file.seek(0)
        with open(self._file.fileno(), "rb", closefd=False) as lines:
            yield from _placed(self._path, lines)

    def append(self, record: AuditRecord) -> None:
        if self._file.closed:
            raise ValueError(f"AuditTrail: {self._path} is closed")
        file, line = self._file.fileno(), write_line(record)
        reason = self._meanwhile(file)
        if reason:
            raise AuditBrokenError(
                place=str(self._path), number=record.seq, kind="changed", reason=reason
            )
        try:
            self._write(file, line)
        except BaseException:
            os.ftruncate(file, self._size)
            raise
        self._size += len(line)

    def _meanwhile(self, file: int) -> str:
        """What somebody else has done to the file since we left it; empty for nothing."""
        found = os.fstat(file)
        if not found.st_nlink:
            return "the file was removed"
        if found.st_size != self._size:
            return f"it has {found.st_size} bytes, and we left it with {self._size}"
        try:
            is_there = os.path.samestat(found, os.lstat(self._name))
        except FileNotFoundError:
            is_there = False
        if not is_there:  # as programs that rotate logs do: records would go where nobody looks
            return "the file was moved away; open a new trail, and keep both"
        return ""

    def _write(self, file: int, line: bytes) -> None:
        if os.write(file, line) != len(line):  # a disk that is nearly full takes a part
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        if self._fsync:
            os.fsync(file)

    def close(self) -> None:
        self._file.close()


def _check_plain(file: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError(errno.EINVAL, "it is no plain file", str(path))


def _keep_name(path: Path) -> None:
    """Wait until the disk has the name of a new file, without which it has nothing."""
    flags = getattr(os, "O_DIRECTORY", None)
    if flags is None:
        return
    folder = os.open(path.parent, os.O_RDONLY | flags)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl  # noqa: PLC0415 - where there is none, only a change of the file's size tells of another writer
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AuditInUseError(path=str(path)) from error
