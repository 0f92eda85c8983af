"""What must not be shown is read from its text, never written, and named by no error."""

from __future__ import annotations

from typing import Annotated, Any

import attrs
import pytest

from agentflow_trio import CodecError, Secret, SharedState, StateKey, sensitive
from agentflow_trio.codec import dump, from_data, load, to_data

CANARY = "canary-4f1d"


@attrs.define
class Login:
    key: str = attrs.field(metadata=sensitive)
    token: Secret | None = None
    codes: dict[str, int] = attrs.field(factory=dict[str, int], metadata=sensitive)
    late: str = attrs.field(default="", init=False, metadata=sensitive)


@attrs.define
class Picky:
    key: str = attrs.field(metadata=sensitive)
    name: str = ""

    def __attrs_post_init__(self) -> None:
        if self.key == CANARY:
            raise ValueError(f"not {self.key}")


@attrs.define
class Open:
    name: str

    def __attrs_post_init__(self) -> None:
        raise ValueError(f"not {self.name}")


@attrs.define
class Both:
    login: Login
    picky: Picky | None = None
    note: Annotated[str, sensitive] | None = None
    plain: Annotated[int, "a remark"] = 0


class Board(SharedState):
    KEY = StateKey("codec_key", str, sensitive=True)
    NOTE = StateKey("note", str)


def told(kind: type[Any], data: object) -> str:
    with pytest.raises(CodecError) as caught:
        from_data(kind, data)
    return str(caught.value)


def test_it_is_read_from_its_text_and_never_written() -> None:
    login = from_data(Login, {"key": CANARY, "token": CANARY, "codes": {"a": 1}})
    assert login == Login(CANARY, Secret(CANARY), {"a": 1})
    login.late = "late"
    assert to_data(login) == {"key": "***", "token": "***", "codes": "***", "late": "***"}
    assert CANARY not in dump(login)


def test_nothing_to_hide_is_written_as_it_is() -> None:
    empty = Login("")
    assert to_data(empty) == {"key": "", "token": None, "codes": {}, "late": ""}
    assert load(Login, dump(empty)) == empty


def test_what_was_left_out_is_not_taken_for_a_secret() -> None:
    with pytest.raises(CodecError) as caught:
        load(Both, dump(Both(Login("a", Secret("b"), {"c": 1}), note="d")))
    assert [str(one) for one in caught.value.mismatches] == [
        f"$.{place}: expected {kind} itself, got '***', which stands where it was left out"
        for place, kind in [
            ("login.key", "str"),
            ("login.token", "Secret"),
            ("login.codes", "dict[str, int]"),
            ("note", "str"),
        ]
    ]


def test_no_error_says_what_was_found() -> None:
    data = {"key": [CANARY], "token": 4711, "codes": {CANARY: "x"}, "late": 5}
    text = told(Login, data)
    assert CANARY not in text
    assert "4711" not in text
    assert "$.key: expected str, got list, not shown: it is sensitive" in text
    assert "$.codes: expected dict[str, int], got dict, not shown: it is sensitive" in text
    assert "$.late: expected str, got int, not shown: it is sensitive" in text
    assert told(Secret, "") == (
        "not a valid Secret: $: expected Secret, got str, not shown: it is sensitive"
    )
    make: Any = Login
    odd = make(Secret(CANARY))
    with pytest.raises(CodecError, match=r"\$.key: expected str, got Secret, not shown"):
        to_data(odd)


def test_validators_of_a_class_with_sensitive_fields_are_not_quoted() -> None:
    assert told(Picky, {"key": CANARY}) == (
        "not a valid Picky: $: expected what the class accepts, "
        "got ValueError, its text not shown: a field is sensitive"
    )
    assert "got ValueError: not abc" in told(Open, {"name": "abc"})
    assert "$.nam: expected a known field" in told(Picky, {"key": "a", "nam": "b"})
    assert "$.key: expected str, got nothing" in told(Picky, {})
    assert "$.picky: expected what the class accepts, got ValueError, its text" in told(
        Both, {"login": {"key": "a"}, "picky": {"key": CANARY}}
    )


def test_a_sensitive_key_of_a_board_is_like_a_sensitive_field() -> None:
    board = from_data(Board, {"codec_key": CANARY, "note": "n"})
    assert board.get(Board.KEY) == CANARY
    assert to_data(board) == {"codec_key": "***", "note": "n"}
    assert "$.codec_key: expected str itself, got '***'" in told(Board, {"codec_key": "***"})


def test_other_notes_of_a_type_mean_nothing() -> None:
    assert from_data(Both, {"login": {"key": "a"}, "plain": 3}).plain == 3
    marked: Any = Annotated[Secret, {**sensitive, "more": 1}]
    assert from_data(marked, "abc") == Secret("abc")
    assert to_data({"a": Secret("abc"), "b": [Secret("abc")]}) == {"a": "***", "b": ["***"]}
