"""The words everything is said in are plain, frozen values."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from agentflow_trio import END, Count, Exit, Next, Resource, RunResult, Share, Stream


class Trail:
    run_id = "r1"
    visits = MappingProxyType({"flow/write": 2})
    tail = ("flow/write", "flow/write#2")
    suppressed = (OSError("lost"),)


def test_two_exits_are_the_same_only_if_they_are_one_object() -> None:
    one, two = Exit("good"), Exit("good")
    assert one != two
    assert [one, two].index(two) == 1
    assert len({one, two}) == 2
    assert repr(one) == "Exit(name='good')"


def test_end_is_an_exit_called_end() -> None:
    assert isinstance(END, Exit)
    assert isinstance(END, Next)
    assert END.name == "end"
    assert Exit("end") is not END


@pytest.mark.parametrize(
    "value",
    [END, Resource("http", str), Stream("tokens", str)],
    ids=["Exit", "Resource", "Stream"],
)
def test_they_cannot_be_changed(value: Any) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.name = "x"


def test_a_copy_of_an_exit_is_the_exit_and_the_end_comes_back_from_a_pickle() -> None:
    good = Exit("good")
    assert copy.copy(good) is copy.deepcopy(good) is good
    assert copy.deepcopy({"end": END})["end"] is END
    assert pickle.loads(pickle.dumps(END)) is END
    assert pickle.loads(pickle.dumps(good)).name == "good"


def test_a_bare_next_stands_in_for_an_exit_in_tests() -> None:
    assert Next() != Next()
    extra: Any = Next()
    with pytest.raises(AttributeError):
        extra.name = "x"


def test_resources_and_streams_are_the_same_if_name_and_kind_are() -> None:
    assert Resource("http", str) == Resource("http", str)
    others: list[object] = [Resource("http", int), Resource("web", str), Stream("http", str)]
    assert Resource("http", str) not in others
    assert Stream("tokens", str) == Stream("tokens", str)
    assert {Resource("http", str): 1}[Resource("http", str)] == 1
    assert copy.deepcopy(Stream("tokens", str)) == Stream("tokens", str)


def test_a_result_tells_how_the_run_ended_and_where_it_was() -> None:
    result = RunResult(state="s", exit="good", duration=1.5, steps=2, trail=Trail())
    assert (result.run_id, result.visits, result.tail, result.suppressed) == (
        Trail.run_id,
        Trail.visits,
        Trail.tail,
        Trail.suppressed,
    )
    assert repr(result) == "RunResult(state='s', exit='good', duration=1.5, steps=2)"


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "3"])
def test_a_count_is_a_whole_number(wrong: Any) -> None:
    assert Count(0).most == 0
    with pytest.raises(ValueError, match=r"a whole number >= 0, not"):
        Count(wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, True, "0.5"])
def test_a_share_is_between_0_and_1(wrong: Any) -> None:
    assert (Share(0).most, Share(1).most, Share(0.05).most) == (0, 1, 0.05)
    with pytest.raises(ValueError, match=r"a number from 0 to 1, not"):
        Share(wrong)
