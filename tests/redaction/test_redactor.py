"""What is hidden in texts, and that nothing else changes."""

from __future__ import annotations

import base64
import html
import json
import pickle
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, quote_plus

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_trio import Redactor, Secret
from agentflow_trio.redaction import SECRET_NAMES

PLAIN = Redactor(standard=False)

PEM = """-----BEGIN RSA PRIVATE KEY-----
MIIEpAIBAAKCAQEA
-----END RSA PRIVATE KEY-----"""
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwdw==", "authorization: basic ***"),
        ("{'Authorization': 'Token abc'}", "{'Authorization': 'Token ***'}"),
        ("[(b'authorization', b'Bearer abc')]", "[(b'authorization', b'Bearer ***')]"),
        ("sent Bearer 0123456789abcdef.", "sent Bearer ***"),
        ("postgres://ada:pa/ss@db/x", "postgres://ada:pa/ss@db/x"),
        ("postgres://ada:p@ss@db:5432/x", "postgres://ada:***@db:5432/x"),
        ("redis://:hunter@localhost", "redis://:***@localhost"),
        ("GET /x?api_key=abc&page=2", "GET /x?api_key=***&page=2"),
        ("connect(password='a \\'b', port=1)", "connect(password='***', port=1)"),
        ('{"client_secret": "ab\\"c", "n": 1}', '{"client_secret": "***", "n": 1}'),
        ("{'access_token': b'abc'}", "{'access_token': b'***'}"),
        ("MY_API_KEY = abc", "MY_API_KEY = ***"),
        ("Login(pwd=abc, x=1)", "Login(pwd=***, x=1)"),
        (f"key:\n{PEM}\nend", "key:\n***\nend"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "***"),
        (f"got {JWT}!", "got ***!"),
        (f"of-{JWT}/{JWT}", "of-***/***"),
        ("access-key=abc", "access-key=***"),
        ("key sk-proj-abcdefgh12345678 refused", "key *** refused"),
        ("rk_live_0123456789abcdef", "***"),
        ("ghp_0123456789abcdefghij", "***"),
        ("github_pat_0123456789abcdefghij", "***"),
        ("glpat-0123456789abcdefghij", "***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("xoxb-0123456789-abc", "***"),
        (f"AIza{'x' * 35}", "***"),
    ],
)
def test_what_is_surely_a_secret_by_its_looks_is_hidden(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown
    assert PLAIN.text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'key'",
        "unexpected token: '}' at line 3",
        "wrong password: try again",
        "max_tokens=100, token_count=7",
        "connect(password=None, token=True)",
        "connect(password=False, token=true, secret=false, pwd=null)",
        "Basic understanding of bearer bonds",
        "sk-learn-compatible-estimators-are-fine",
        "https://example.com:8080/a@b",
        "see https://example.com/?page=2#top",
        "AKIAtoo-short, eyJ.a, xoxo-",
        "the authorization failed",
        "-----BEGIN CERTIFICATE-----",
        "",
    ],
)
def test_a_text_without_secrets_comes_back_as_it_is(text: str) -> None:
    assert Redactor().text(text) is text


def test_the_text_of_a_secret_is_hidden_in_whatever_way_it_is_written() -> None:
    value = "päss/word+\"'\\n\n7"
    secret = Secret(value)
    data = value.encode()
    for written in (
        value,
        repr(value),
        ascii(value),
        repr(data),
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(f"{value}!"),
        ascii(f"{value}!"),
        json.dumps(f"{value}!"),
        json.dumps(f"{value}!", ensure_ascii=False),
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
    ):
        shown = PLAIN.text(f"<{written}>")
        assert "ss" not in shown
        assert "***" in shown
        assert len(shown) <= 9
    for written in (
        html.escape(value),
        html.escape(value, quote=False),
        html.escape(value).replace("&#x27;", "'"),
        data.hex(),
        data.hex().upper(),
        re.sub("%..", lambda byte: byte[0].lower(), quote(value, safe="")),
    ):
        shown = PLAIN.text(f"<{written}>")
        assert "ss" not in shown
        assert "***" in shown
    for before in (b"", b"u:", b"us:", b"use:"):
        for code in (base64.b64encode, base64.urlsafe_b64encode):
            coded = code(before + data + b"!").decode()
            shown = PLAIN.text(coded)
            assert shown.count("***") == 1
            assert len(shown) <= len(before) * 2 + 9
    assert secret.reveal() == value


def test_lines_of_a_secret_are_hidden_whatever_is_put_before_them() -> None:
    value = "first line of a key\nsecond line of it\n  short"
    assert PLAIN.text("  | first line of a key\n  | second line of it", also=[value]) == (
        "  | ***\n  | ***"
    )
    assert PLAIN.text("a short one", also=[value]) == "a short one"


def test_bytes_that_are_no_text_are_hidden_as_they_are_written() -> None:
    data = b"k4n4ry\xff\x00-"
    value = data.decode(errors="surrogateescape")
    for written in (
        repr(data)[2:-1],
        data.hex(),
        data.decode(errors="backslashreplace"),
        value,
    ):
        assert PLAIN.text(f"<{written}>", also=[value]) == "<***>"
    assert PLAIN.text("a \ud800 lone one", also=["\ud800 lone"]) == "a *** one"


def test_what_is_written_twice_over_is_hidden_too() -> None:
    value = "a \"b\" <c>\\\n'd' and more"
    for inner in (repr(value), json.dumps(value), value):
        for outer in (str(KeyError(f"no {inner}")), json.dumps(inner), html.escape(inner)):
            shown = PLAIN.text(outer, also=[value])
            assert "***" in shown
            assert "more" not in shown
    page = html.escape(value).replace("\n", "\n   | ")
    assert PLAIN.text(page, also=[value]) == "***\n   | ***"


def test_a_quote_beside_quotes_of_both_kinds_is_written_otherwise() -> None:
    assert PLAIN.text(repr("it's and \""), also=["it's and"]) == "'*** \"'"


def test_all_of_a_secret_is_found_in_json() -> None:
    words = "schön und gut"
    assert PLAIN.text(json.dumps(words), also=[words]) == '"***"'
    assert PLAIN.text(json.dumps(words, ensure_ascii=False), also=[words]) == '"***"'


def test_each_place_of_a_secret_is_found() -> None:
    assert PLAIN.text("word, " * 200, also=["word"]) == "***, " * 200


def test_of_many_secrets_each_is_found() -> None:
    """By an index, once the same ones are asked for again."""
    also = [f"secret {number}" for number in range(1000, 1400)]
    text = "of secret 1000, secret 1399 and secret 999"
    for _ in range(3):
        assert PLAIN.text(text, also=also) == "of ***, *** and secret 999"
        assert PLAIN.text("at the tail", also=[*also, "tail"]) == "at the ***"
    assert PLAIN.text("sec", also=also) == "sec"


@pytest.mark.parametrize(
    "part",
    [
        *("-eyJ", "eyJa.", "sk-", 'token="', "token='", "token=", "password= ", "://a:b"),
        *("-----BEGIN X PRIVATE KEY-----", "-----BEGIN ", "a://b:c@", 'secret="\\', "bearer "),
        *("authorization:bearer ", "***token", "\u0130token="),
    ],
)
def test_no_text_from_outside_takes_longer_than_its_length(part: str) -> None:
    """It may come from anybody, and is read in the loop: 100 KB of one of them once took 20 s."""
    text = (part * 10_000)[:20_000]
    begun = time.perf_counter()
    Redactor().text(text)
    assert time.perf_counter() - begun < 1.0


def test_letters_that_become_two_when_small_hide_nothing_else() -> None:
    assert Redactor().text("\u0130\u0130\u0130 token=abc") == "\u0130\u0130\u0130 token=***"
    assert Redactor().text("\u0130 TOKEN=abc") == "\u0130 TOKEN=***"


def test_of_several_names_in_a_text_each_is_known() -> None:
    text = "token=ab password=cd " + "token=ef " * 200
    assert Redactor().text(text) == "token=*** password=*** " + "token=*** " * 200


def test_a_secret_is_looked_for_as_long_as_one_of_its_text_lives() -> None:
    one, two = Secret("correct horse"), Secret("correct horse")
    assert PLAIN.text("a correct horse!") == "a ***!"
    del one
    assert PLAIN.text("a correct horse!") == "a ***!"
    del two
    assert PLAIN.text("a correct horse!") == "a correct horse!"


def test_what_is_too_short_is_looked_for_where_it_stands_alone_or_not_at_all() -> None:
    code, long = Secret("042"), Secret("abcd")
    assert PLAIN.text("cvc 042, cvc='042'; 1042 or 042x, xabcdx") == (
        "cvc ***, cvc='***'; 1042 or 042x, x***x"
    )
    assert (code.reveal(), long.reveal()) == ("042", "abcd")
    assert PLAIN.text("wx xyz wxyz a.z", also=["wx", "xyz", "wxyz", "a.z"]) == "wx *** *** ***"
    assert PLAIN.text("a-z", also=["a.z"]) == "a-z"


def test_what_overlaps_or_touches_is_hidden_as_one() -> None:
    also = ["abcdef", "defghi", "jklm"]
    assert PLAIN.text("-abcdefghi-", also=also) == "-***-"
    assert PLAIN.text("-abcdefghijklm-", also=also) == "-***-"
    assert PLAIN.text("-abcdef-jklm", also=also) == "-***-***"
    assert PLAIN.text("abababab", also=["abab"]) == "***"
    assert PLAIN.text("aaaaa", also=["aaaa"]) == "***"
    assert PLAIN.text("abcdefgh", also=["abcdefgh", "cdef"]) == "***"


def test_patterns_hide_what_they_match_or_their_group() -> None:
    redactor = Redactor(patterns=(r"id-\d+", r"pin (?P<secret>\d*)"), placeholder="[hidden]")
    assert redactor.text("id-12 has pin 34") == "[hidden] has pin [hidden]"
    assert redactor.text("pin none") == "pin none"
    assert Redactor(patterns=(r"x*",)).text("axxb") == "a***b"


def test_variables_are_hidden_by_name_and_as_they_are_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redactor = Redactor(environment=SECRET_NAMES)
    monkeypatch.setenv("MY_API_TOKEN", "first value")
    monkeypatch.setenv("db_password_2", "pass word")
    monkeypatch.setenv("OTHER", "no secret")
    assert redactor.text("first value, pass word, no secret") == "***, ***, no secret"
    monkeypatch.setenv("MY_API_TOKEN", "other value")
    assert redactor.text("first value, other value") == "first value, ***"
    monkeypatch.setenv("MY_API_TOKEN", "12345")
    assert redactor.text("12345") == "12345"
    monkeypatch.setenv("MY_API_TOKEN", "123456")
    assert redactor.text("123456") == "***"
    assert PLAIN.text("pass word") == "pass word"


def test_rules_that_feed_one_another_leave_nothing() -> None:
    redactor = Redactor(patterns=(r"\*+",))
    assert redactor.text("*****", also=["****"]) == "***"
    long = Redactor(placeholder="[redacted]")
    assert long.text(f"[redacted]{'c' * 60}", also=["ted]c"]) == "[redacted]"
    assert long.text("is redacted", also=["redacted"]) == ("is redacted")


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"patterns": ("(",)}, ValueError, r"'\(' is no regular expression: missing"),
        ({"patterns": "abc"}, TypeError, "patterns must be a tuple of texts, not empty"),
        ({"patterns": ("",)}, TypeError, "found a value of str"),
        ({"environment": (7,)}, TypeError, "environment must be .* found a value of int"),
        ({"placeholder": ""}, ValueError, "placeholder must be a text"),
        ({"placeholder": 7}, ValueError, "placeholder must be a text"),
    ],
)
def test_nonsense_is_refused(
    wrong: dict[str, object], error: type[Exception], text: str
) -> None:
    make: Any = Redactor
    with pytest.raises(error, match=text):
        make(**wrong)


def test_it_is_a_frozen_value_that_can_be_pickled() -> None:
    redactor = Redactor(patterns=("a+",), environment=("*_KEY",), placeholder="-")
    again = pickle.loads(pickle.dumps(redactor))
    assert again == redactor
    assert repr(redactor) == (
        "Redactor(patterns=('a+',), environment=('*_KEY',), placeholder='-', standard=True)"
    )
    make: Any = Redactor
    with pytest.raises(TypeError, match="positional"):
        make(("a+",))
    assert again.text("baab") == "b-b"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(redactor, "placeholder", "")  # noqa: B010 - a checker refuses the plain form


SECRETS = st.lists(st.text('ab*k=-sé1"', min_size=4, max_size=8), max_size=3)
TEXTS = st.text('ab*k=-sé1" ', max_size=40)
REDACTORS = st.sampled_from([
    Redactor(),
    PLAIN,
    Redactor(patterns=(r"a+b", r"\*k", r"(?<=\*)-")),
    Redactor(patterns=(r"k=(?P<secret>\w+)",), placeholder="[b]"),
])


@given(REDACTORS, TEXTS, SECRETS)
def test_hiding_twice_is_hiding_once(
    redactor: Redactor, text: str, also: Sequence[str]
) -> None:
    once = redactor.text(text, also=also)
    assert redactor.text(once, also=also) == once


@given(st.sampled_from([Redactor(), PLAIN]), st.lists(TEXTS, min_size=2), SECRETS)
def test_no_planted_secret_survives(
    redactor: Redactor, around: Sequence[str], also: Sequence[str]
) -> None:
    text = "".join(
        f"{piece}{also[at % len(also)] if also else ''}" for at, piece in enumerate(around)
    )
    shown = redactor.text(text, also=also)
    assert [secret for secret in also if secret in shown] == []


@given(st.text(), SECRETS)
def test_what_holds_nothing_is_unchanged(text: str, also: Sequence[str]) -> None:
    if not any(secret in text for secret in also):
        forms = PLAIN.text(text, also=also)
        assert forms == text or any(len(secret) >= 4 for secret in also)
    assert PLAIN.text(text) is text
