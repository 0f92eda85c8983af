"""A secret is never shown by accident, and compares and copies as a value does."""

from __future__ import annotations

import copy
import gc
import json
import pickle
from typing import Any

import attrs
import pytest

from agentflow_trio import Secret, fork, merged_by, sensitive, summed
from agentflow_trio.redaction import hide
from agentflow_trio.types import RUNS, is_sensitive, secrets_alive

VALUE = "correct horse battery"


@attrs.define
class Login:
    key: Secret
    pin: int = attrs.field(default=0, metadata={**sensitive, **merged_by(summed)})
    name: str = ""


def test_it_gives_its_text_to_who_asks_and_to_nobody_else() -> None:
    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % (secret,)):  # noqa: UP031 - old code does it
        assert shown == "Secret('***')"
    assert f"{secret:>15}" == "  Secret('***')"
    assert repr(Login(secret)) == "Login(key=Secret('***'), pin=0, name='')"
    assert repr([secret]) == "[Secret('***')]"
    assert not hasattr(secret, "__dict__")


def test_it_is_not_pickled_nor_written_by_json() -> None:
    with pytest.raises(TypeError, match=r"a Secret is not pickled; pass its reveal\(\)"):
        pickle.dumps({"key": Secret(VALUE)})
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(Secret(VALUE))


def test_copies_and_forks_are_the_secret_itself() -> None:
    secret = Secret(VALUE)
    state = Login(secret)
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
    assert copy.deepcopy(state).key is secret
    assert fork(state).key is secret


def test_secrets_of_one_text_are_equal() -> None:
    one, two, other = Secret("naïve text"), Secret("naïve text"), Secret("naive text")
    assert one == two
    assert one != other
    assert {one: 1}[two] == 1
    assert one != "naïve text"
    assert hash(one) != hash("naïve text")
    assert Secret("\ud800 lone") == Secret("\ud800 lone")


def test_it_cannot_be_changed() -> None:
    secret: Any = Secret(VALUE)
    with pytest.raises(AttributeError, match="cannot be changed; make another"):
        secret._value = "x"
    with pytest.raises(AttributeError, match="cannot be changed; make another"):
        del secret._value
    assert secret.reveal() == VALUE


def test_nonsense_is_refused_without_being_shown() -> None:
    make: Any = Secret
    with pytest.raises(TypeError, match=r"made of a str, not of a value of bytes$"):
        make(b"correct horse")
    with pytest.raises(ValueError, match="must not be empty; is the variable"):
        Secret("")


def test_who_lives_is_known() -> None:
    gc.collect()
    before = len(secrets_alive())
    one, two = Secret(VALUE), Secret(VALUE)
    assert secrets_alive().count(VALUE) == 2
    assert one == two
    del one
    assert secrets_alive().count(VALUE) == 1
    del two
    assert len(secrets_alive()) == before


def test_a_field_is_marked_beside_its_rule() -> None:
    fields = attrs.fields_dict(Login)
    assert is_sensitive(fields["pin"])
    assert not is_sensitive(fields["name"])
    assert dict(sensitive) == {"agentflow_trio.sensitive": True}
    assert merged_by(summed).items() <= fields["pin"].metadata.items()


def test_nobody_need_know_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that only uses secrets."""
    monkeypatch.setattr(RUNS, "made", None)
    monkeypatch.setattr(RUNS, "veil", None)
    secret = Secret(VALUE)
    assert hide(f"a {VALUE}") == "a ***"
    assert secret.reveal() == VALUE
