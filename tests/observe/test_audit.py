"""An audit trail: what is written stays, and whatever is done to it afterwards is found."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, final

import attrs
import pytest
import trio
from hypothesis import assume, given
from hypothesis import strategies as st

import agentflow_trio
from agentflow_trio import sensitive, step
from agentflow_trio.observe import (
    AuditBrokenError,
    AuditHead,
    AuditInUseError,
    AuditRecord,
    AuditTrail,
    verify_audit,
)
from agentflow_trio.observe._audit_core import read_line, write_line
from agentflow_trio.ports import WallClock
from agentflow_trio.redaction import Redactor
from agentflow_trio.types import Secret

KEY = bytes(range(32))


@final
class Clock(WallClock):
    """A wall clock that shows 1000.5, 1001.5, ..."""

    def __init__(self) -> None:
        self.time = 999.5

    def now(self) -> float:
        self.time += 1.0
        return self.time


def ask(trail: AuditTrail, number: int = 0) -> AuditRecord:
    return trail.record(
        who=f"user:{number}", what="run", resource="flow:payout", decision="denied"
    )


def filled(path: Path | None, count: int, key: Secret | bytes | None = None) -> AuditHead:
    with AuditTrail(path, key=key, wall_clock=Clock()) as trail:
        for number in range(count):
            ask(trail, number)
        return trail.head


def broken(path: Path, **options: bytes | AuditHead | None) -> AuditBrokenError:
    key, head = options.get("key"), options.get("head")
    assert key is None or isinstance(key, bytes)
    assert head is None or isinstance(head, AuditHead)
    with pytest.raises(AuditBrokenError) as caught:
        verify_audit(path, key=key, head=head)
    return caught.value


# ---------------------------------------------------------------- what is written


def test_a_record_says_who_asked_for_what_and_what_was_decided_and_names_the_one_before() -> (
    None
):
    with AuditTrail(wall_clock=Clock()) as trail:
        first, second = ask(trail, 1), ask(trail, 2)
        assert trail.records == (first, second)
        assert trail.head == AuditHead(2, second.digest)
    assert first == AuditRecord(
        who="user:1",
        what="run",
        resource="flow:payout",
        decision="denied",
        wall_time=1000.5,
        seq=0,
        previous="0" * 64,
        digest=first.digest,
    )
    assert (second.seq, second.wall_time, second.previous) == (1, 1001.5, first.digest)


def test_the_spelling_of_a_line_is_the_same_for_ever_and_its_digest_is_that_of_the_rest_of_it(
    tmp_path: Path,
) -> None:
    """Trails of years ago are to be verified: this is the format, not an example of it."""
    filled(tmp_path / "plain.jsonl", 1)
    filled(tmp_path / "keyed.jsonl", 1, KEY)
    rest = (
        b'{"seq":0,"wall_time":1000.5,"who":"user:0","what":"run","resource":"flow:payout",'
        b'"decision":"denied","previous":"%s"' % (b"0" * 64)
    )
    plain = hashlib.sha256(rest + b"}").hexdigest()
    keyed = hmac.new(KEY, rest + b"}", "sha256").hexdigest()
    assert plain.startswith("92bc2375")
    for name, digest in (("plain", plain), ("keyed", keyed)):
        line = (tmp_path / f"{name}.jsonl").read_bytes()
        assert line == rest + b',"digest":"%s"}\n' % digest.encode()


@pytest.mark.parametrize("fsync", [False, True])
def test_a_trail_goes_on_where_it_was_left(tmp_path: Path, fsync: bool) -> None:
    path = tmp_path / "audit.jsonl"
    head = filled(path, 2)
    with AuditTrail(str(path), head=head, fsync=fsync) as trail:
        third = ask(trail)
        assert (third.seq, third.previous) == (2, head.digest)
        assert [record.seq for record in trail.records] == [0, 1, 2]
    assert verify_audit(path, head=head) == AuditHead(3, third.digest)


def test_a_record_is_in_the_file_before_the_decision_takes_effect(tmp_path: Path) -> None:
    """Even if the process is killed right after."""
    path = tmp_path / "audit.jsonl"
    program = (
        "import os, signal; from agentflow_trio.observe import AuditTrail\n"
        f"trail = AuditTrail({str(path)!r}, fsync=True)\n"
        "trail.record(who='a', what='b', resource='c', decision='d')\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(agentflow_trio.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], check=False, env=environ)
    assert done.returncode == -signal.SIGKILL
    assert verify_audit(path).count == 1


def test_nobody_but_its_owner_may_read_a_new_file(tmp_path: Path) -> None:
    filled(tmp_path / "audit.jsonl", 1)
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_every_text_is_redacted_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditTrail(path, redactor=Redactor(patterns=("hunter2",))) as trail:
        trail.record(
            who="hunter2", what="a hunter2", resource="hunter2 b", decision="hunter2 hunter2"
        )
        (record,) = trail.records
    assert (record.who, record.what, record.resource, record.decision) == (
        "***",
        "a ***",
        "*** b",
        "*** ***",
    )
    assert "hunter2" not in path.read_text()
    verify_audit(path)


def test_a_secret_that_lives_and_what_looks_like_one_are_never_written() -> None:
    secret = Secret("correct horse")
    with AuditTrail() as trail:
        record = trail.record(
            who=f"user {secret.reveal()}",
            what="get https://ada:lovelace@host/",
            resource="x",
            decision="denied",
        )
    assert (record.who, record.what) == ("user ***", "get https://ada:***@host/")


def test_a_key_may_be_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    key = "a secret of some length"
    filled(path, 2, Secret(key))
    assert verify_audit(path, key=key.encode()) == verify_audit(path, key=Secret(key))
    assert broken(path).kind == "changed"


def test_threads_may_share_a_trail(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditTrail(path) as trail:
        threads = [
            threading.Thread(target=lambda: [ask(trail, number) for number in range(50)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        head = trail.head
    assert head.count == 200
    assert verify_audit(path) == head


def test_the_key_is_nowhere_to_be_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    key = b"a key that is not to be shown"
    filled(path, 2, key)
    assert b"not to be shown" not in path.read_bytes()
    with AuditTrail(path, key=key) as trail:
        assert not [name for name, value in vars(trail).items() if "shown" in repr(value)]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("key", [b"", b"fifteen bytes !"])
def test_a_key_that_can_be_guessed_is_refused(key: bytes) -> None:
    with pytest.raises(
        ValueError, match="key must be a Secret or random bytes, 16 or more; 32 are better"
    ) as caught:
        AuditTrail(key=key)
    assert "fifteen" not in str(caught.value)


def test_sixteen_bytes_are_a_key(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    key = b"sixteen bytes !!"
    assert filled(path, 1, key) == verify_audit(path, key=key)


def test_a_key_that_is_no_bytes_is_refused() -> None:
    key: Any = "a password of some length"
    with pytest.raises(ValueError, match="key must be a Secret or random bytes") as caught:
        AuditTrail(key=key)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("field", ["who", "what", "resource", "decision"])
def test_a_field_that_is_no_text_is_refused_by_name_and_nothing_is_written(field: str) -> None:
    texts: dict[str, Any] = dict.fromkeys(("who", "what", "resource", "decision"), "x")
    texts[field] = None
    with AuditTrail() as trail:
        with pytest.raises(ValueError, match=f"AuditRecord: {field} must be text, not None"):
            trail.record(**texts)
        assert trail.records == ()


def test_a_time_that_is_none_is_refused() -> None:
    clock = Clock()
    clock.time = float("nan")
    with (
        AuditTrail(wall_clock=clock) as trail,
        pytest.raises(ValueError, match="wall_time must be finite, not nan"),
    ):
        ask(trail)


@pytest.mark.parametrize("name", [None, "audit.jsonl"])
def test_a_closed_trail_takes_nothing_more(tmp_path: Path, name: str | None) -> None:
    trail = AuditTrail(name and tmp_path / name)
    trail.close()
    trail.close()
    with pytest.raises(ValueError, match="closed"):
        ask(trail)


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditTrail(path) as trail:
        ask(trail)
        with pytest.raises(AuditInUseError, match=r"audit\.jsonl is being written to by some"):
            AuditTrail(path)
        assert verify_audit(path) == trail.head  # who reads is not in the way
        ask(trail)
    assert filled(path, 1).count == 3


def test_where_files_cannot_be_locked_another_writer_is_found_by_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    path = tmp_path / "audit.jsonl"
    with AuditTrail(path) as ours, AuditTrail(path) as theirs:
        ask(ours)
        with pytest.raises(AuditBrokenError, match=r"it has \d+ bytes, and we left it with 0"):
            ask(theirs)
        ask(ours)
    assert verify_audit(path).count == 2


def test_a_file_that_was_removed_or_shortened_under_the_trail_takes_nothing_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditTrail(path) as trail:
        ask(trail)
        os.truncate(path, 10)
        with pytest.raises(AuditBrokenError, match="it has 10 bytes, and we left it with"):
            ask(trail)
    path.unlink()
    with AuditTrail(path) as trail:
        ask(trail)
        path.unlink()
        with pytest.raises(AuditBrokenError, match=r"audit\.jsonl: the file was removed"):
            ask(trail)
        assert trail.head.count == 1


def test_a_file_that_was_moved_away_takes_nothing_more_where_nobody_would_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    monkeypatch.chdir(tmp_path)
    with AuditTrail("audit.jsonl") as trail:
        monkeypatch.chdir("/")
        ask(trail)
        path.rename(tmp_path / "audit.jsonl.1")
        with pytest.raises(AuditBrokenError, match="moved away; open a new trail, and keep"):
            ask(trail)
        assert filled(path, 1).count == 1
        with pytest.raises(AuditBrokenError, match="moved away"):
            ask(trail)
    assert verify_audit(tmp_path / "audit.jsonl.1").count == 1


def test_only_a_plain_file_is_a_trail(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("other.jsonl", "link.jsonl", "pipe"))
    link.symlink_to(target)
    with pytest.raises(OSError, match=r"symbolic link; name the file itself: '.*link\.jsonl'"):
        AuditTrail(link)
    assert not target.exists()
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="it is no plain file"):
        AuditTrail(pipe)


def test_with_fsync_the_name_of_a_new_file_is_kept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: kept.append(os.fstat(file).st_ino))
    path = tmp_path / "audit.jsonl"
    for _ in range(2):
        with AuditTrail(path, fsync=True) as trail:
            ask(trail)
    assert kept == [tmp_path.stat().st_ino, path.stat().st_ino, path.stat().st_ino]
    kept.clear()
    monkeypatch.delattr(os, "O_DIRECTORY")
    path.unlink()
    with AuditTrail(path, fsync=True):
        assert kept == []


def test_a_record_that_does_not_fit_on_the_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files is the disk that is full here."""
    path = tmp_path / "audit.jsonl"
    with AuditTrail(path) as trail:
        ask(trail)
        before = path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
        try:
            with pytest.raises(OSError, match="No space left") as caught:
                ask(trail)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, ignored)
        assert caught.value.errno == errno.ENOSPC
        assert path.read_bytes() == before
        assert ask(trail).seq == 1
    assert verify_audit(path).count == 2


def test_a_broken_trail_is_not_gone_on_with_and_lets_go_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path, 3)
    path.write_bytes(path.read_bytes().replace(b"user:1", b"user:7"))
    for _ in range(2):
        with pytest.raises(AuditBrokenError, match=r"audit\.jsonl:2: it was changed"):
            AuditTrail(path)


def test_a_trail_that_lost_its_end_is_not_gone_on_with_by_who_knows_its_head(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    head = filled(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(AuditBrokenError, match="there were 3 records once; the last 1 are mis"):
        AuditTrail(path, head=head)
    assert filled(path, 1).count == 3  # who does not know it cannot tell


def test_a_line_that_was_cut_off_comes_with_what_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    error = broken(path)
    assert (error.place, error.number, error.kind) == (f"{path}:3", 2, "cut off")
    remedy = str(error).partition("end at byte ")[2].partition(": ")[2].partition("  ")[0]
    subprocess.run(remedy.split(), check=True)
    assert verify_audit(path).count == 2


# ---------------------------------------------------------------- what is found

Lines = Sequence[bytes]


def lines_of(count: int, key: bytes | None = None) -> Lines:
    with AuditTrail(key=key, wall_clock=Clock()) as trail:
        return [write_line(ask(trail, number)) for number in range(count)]


def other_trail() -> Lines:
    with AuditTrail(wall_clock=Clock()) as trail:
        return [write_line(ask(trail, number)) for number in (7, 8, 9)]


OTHER: Final = other_trail()


@pytest.mark.parametrize(
    ("change", "number", "kind", "reason"),
    [
        (lambda a: [a[0], a[1].replace(b"denied", b"allowed"), a[2]], 1, "changed", "digest"),
        (lambda a: [a[0], a[1].replace(b",", b", "), a[2]], 1, "unreadable", "no line of an"),
        (lambda a: [a[0], b"[" * 100_000 + b"\n", a[2]], 1, "unreadable", "no line of an"),
        (lambda a: [a[0], b"\n", a[2]], 1, "unreadable", "no line of an audit trail"),
        (lambda a: [a[0], a[1].replace(b"1001.5", b"NaN"), a[2]], 1, "unreadable", "no line"),
        (lambda a: [a[0], a[2]], 1, "missing", "is record 2, and record 1 is missing here"),
        (lambda a: a[1:], 0, "missing", "it is record 1, and record 0 is missing here"),
        (lambda a: [a[0], a[2], a[1]], 1, "missing", "record 1 is missing here"),
        (lambda a: [a[0], a[0], a[1], a[2]], 1, "out of order", "should be record 1"),
        (lambda a: [a[0], OTHER[1], a[2]], 1, "inserted", "does not follow the record before"),
        (lambda a: [a[0], a[1], a[2][:-1]], 2, "cut off", "truncate -s"),
    ],
    ids=[
        "a word",
        "a space",
        "brackets",
        "an empty line",
        "no number",
        "one is missing",
        "the first is missing",
        "two are swapped",
        "one twice",
        "one of another trail",
        "cut off",
    ],
)
def test_a_change_is_named_with_its_place_and_its_kind(
    tmp_path: Path, change: Callable[[Lines], Lines], number: int, kind: str, reason: str
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(change(lines_of(3))))
    error = broken(path)
    assert (error.place, error.number, error.kind) == (f"{path}:{number + 1}", number, kind)
    assert reason in error.reason
    assert str(error) == f"the audit trail is broken at {path}:{number + 1}: {error.reason}"


CHANGED: Final = "it was changed: it is not what its digest says"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda a: [a[0].replace(b"denied", b"allowed")],
            f"{CHANGED}, or the trail has another key",
        ),
        (lambda a: [a[0], a[1].replace(b"denied", b"allowed")], CHANGED),
        (
            lambda a: [a[0], OTHER[1]],
            "it does not follow the record before it; one of the two is not ours",
        ),
    ],
    ids=["the first", "a later one", "one of another trail"],
)
def test_what_is_wrong_with_a_record_is_told_and_of_the_first_that_the_key_may_be_another(
    tmp_path: Path, change: Callable[[Lines], Lines], reason: str
) -> None:
    """With another key, the first would not have fitted either."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(change(lines_of(2))))
    assert broken(path).reason == reason


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_a_record_whose_time_is_none_is_changed_even_if_its_digest_fits(time: float) -> None:
    """No trail writes one, and a file that has one is unreadable."""
    with AuditTrail() as trail:
        record = attrs.evolve(ask(trail), wall_time=time)
    rest = write_line(record).partition(b',"digest"')[0]
    fitting = attrs.evolve(record, digest=hashlib.sha256(rest + b"}").hexdigest())
    for forged in (record, fitting):
        with pytest.raises(AuditBrokenError, match="broken at record 0: it was changed"):
            verify_audit([forged])


def test_records_are_verified_like_a_file() -> None:
    with AuditTrail(key=KEY) as trail:
        records = [ask(trail, number) for number in range(3)]
        head = trail.head
    assert verify_audit(records, key=KEY, head=head) == head
    assert verify_audit([]) == AuditHead(0, "0" * 64)
    records[1] = attrs.evolve(records[1], who="nobody")
    with pytest.raises(AuditBrokenError, match="broken at record 1: it was changed"):
        verify_audit(records, key=KEY)
    records[1] = attrs.evolve(records[1], digest="é")
    with pytest.raises(AuditBrokenError, match="broken at record 1: it was changed"):
        verify_audit(records, key=KEY)


def test_the_end_is_missed_only_with_a_head(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    head = filled(path, 3)
    path.write_bytes(b"".join(lines_of(2)))
    assert verify_audit(path).count == 2
    error = broken(path, head=head)
    assert (error.place, error.number, error.kind) == (f"{path}:2", 2, "missing")
    path.write_bytes(b"")
    assert broken(path, head=head).place == "its beginning"


def test_a_head_that_was_noted_is_still_in_a_trail_that_went_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    noted = filled(path, 2)
    assert verify_audit(path, head=noted) == noted
    assert filled(path, 2).count == 4
    assert verify_audit(path, head=noted).count == 4


def test_a_chain_that_was_written_anew_is_found_by_a_head_or_a_key(tmp_path: Path) -> None:
    """Without either, who can write to the file can write any trail."""
    path = tmp_path / "audit.jsonl"
    head = filled(path, 3, KEY)
    path.write_bytes(b"".join([*OTHER]))
    assert verify_audit(path).count == 3
    error = broken(path, key=KEY)
    assert (error.number, error.kind) == (0, "changed")
    assert "or the trail has another key" in error.reason
    error = broken(path, head=head)
    assert (error.place, error.number, error.kind) == (f"{path}:3", 2, "changed")
    assert error.reason == (
        "it is another record than the one that was last when the head was noted; "
        "all up to here may have been written anew"
    )


def test_another_key_is_not_taken_for_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path, 1, KEY)
    assert verify_audit(path, key=KEY).count == 1
    assert broken(path, key=KEY[::-1]).kind == "changed"
    assert broken(path).kind == "changed"


# ---------------------------------------------------------------- keys

OLD: Final = KEY
NEW: Final = Secret("a newer key, of some length")
BOTH: Final[Sequence[Secret | bytes]] = [OLD, NEW]


def test_a_key_is_renewed_by_a_record_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path, 2, OLD)
    for _ in range(2):
        with AuditTrail(path, key=BOTH, wall_clock=Clock()) as trail:
            assert trail.head.count == 3
            third = trail.records[2]
            assert (third.who, third.what) == ("agentflow_trio", "renew key")
            assert (third.resource, third.decision) == ("audit trail", "done")
    with AuditTrail(path, key=BOTH) as trail:
        ask(trail)
    assert verify_audit(path, key=BOTH).count == 4
    wrong: list[Secret | bytes | Sequence[Secret | bytes]] = [OLD, NEW, [NEW, OLD], [NEW]]
    for keys in wrong:
        with pytest.raises(AuditBrokenError):
            verify_audit(path, key=keys)
    with AuditTrail(tmp_path / "empty.jsonl", key=BOTH) as empty:
        assert empty.head.count == 0
    assert verify_audit(tmp_path / "empty.jsonl", key=BOTH).count == 0


def test_who_has_an_old_key_only_can_neither_go_on_nor_write_anything_anew(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    filled(path, 2, OLD)
    AuditTrail(path, key=BOTH).close()
    lines = path.read_bytes().splitlines(keepends=True)
    forged = tmp_path / "forged.jsonl"
    with AuditTrail(forged, key=OLD) as trail:
        for number in (7, 8, 9):
            ask(trail, number)
    with pytest.raises(AuditBrokenError, match="no record was made with the last of the keys"):
        verify_audit(forged, key=BOTH)
    own = forged.read_bytes().splitlines(keepends=True)
    for content in ([*lines[:2], own[2]], [*own[:2], lines[2]], [*lines, *own[2:]]):
        forged.write_bytes(b"".join(content))
        with pytest.raises(AuditBrokenError):
            verify_audit(forged, key=BOTH)


def test_a_sequence_of_no_keys_is_refused() -> None:
    with pytest.raises(
        ValueError, match="key must not be empty; None is a trail without a key"
    ):
        AuditTrail(key=[])


def test_what_a_run_hides_is_in_no_record_that_a_node_makes() -> None:
    @attrs.define
    class Payout:
        account: str = attrs.field(default="4929 1234", metadata=sensitive)

    trail = AuditTrail(redactor=Redactor(patterns=(r"clerk \d+",)))

    @step
    async def pay(payout: Payout) -> None:
        trail.record(
            who="clerk 7", what="pay", resource=f"account {payout.account}", decision="allowed"
        )

    trio.run(pay.run, Payout())
    trail.record(who="me", what="pay", resource="account 4929 1234", decision="allowed")
    assert [record.resource for record in trail.records] == ["account ***", "account 4929 1234"]
    assert trail.records[0].who == "***"


texts = st.text(max_size=5)


@given(
    st.lists(st.tuples(texts, texts, texts, texts), min_size=1, max_size=6),
    st.sampled_from([None, KEY]),
    st.data(),
)
def test_any_single_change_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[str, str, str, str]],
    key: bytes | None,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.getbasetemp() / "audit.jsonl"
    path.unlink(missing_ok=True)
    with AuditTrail(path, key=key, wall_clock=Clock()) as trail:
        for who, what, resource_, decision in asked:
            trail.record(who=who, what=what, resource=resource_, decision=decision)
        head = trail.head
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    assert verify_audit(path, key=key, head=head) == head
    place = st.integers(0, len(lines) - 1)

    def change_a_byte() -> bytes:
        at = data.draw(st.integers(0, len(content) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
        return content[:at] + bytes([byte]) + content[at + 1 :]

    def remove_a_byte() -> bytes:
        at = data.draw(st.integers(0, len(content) - 1))
        return content[:at] + content[at + 1 :]

    def remove_a_record() -> bytes:
        at = data.draw(place)
        return b"".join([*lines[:at], *lines[at + 1 :]])

    def repeat_a_record() -> bytes:
        what, at = data.draw(place), data.draw(st.integers(0, len(lines)))
        return b"".join([*lines[:at], lines[what], *lines[at:]])

    def swap_two() -> bytes:
        one, other = data.draw(place), data.draw(place)
        swapped = [*lines]
        swapped[one], swapped[other] = lines[other], lines[one]
        return b"".join(swapped)

    def cut_short() -> bytes:
        return content[: data.draw(st.integers(0, len(content) - 1))]

    changes = [change_a_byte, remove_a_byte, remove_a_record, repeat_a_record, swap_two]
    changed = data.draw(st.sampled_from([*changes, cut_short]))()
    assume(changed != content)
    path.write_bytes(changed)
    with pytest.raises(AuditBrokenError):
        verify_audit(path, key=key, head=head)
    only_its_end = content.startswith(changed) and changed[-1:] in {b"", b"\n"}
    if not only_its_end:
        with pytest.raises(AuditBrokenError):
            verify_audit(path, key=key)


@given(texts, texts, texts, texts, st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_read_is_what_was_written(
    who: str, what: str, resource_: str, decision: str, time: float
) -> None:
    clock = Clock()
    clock.time = time
    with AuditTrail(wall_clock=clock) as trail:
        record = trail.record(who=who, what=what, resource=resource_, decision=decision)
    assert read_line(write_line(record)) == record
