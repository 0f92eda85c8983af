"""What becomes of the changes of branches: taken, merged by a rule, or a conflict."""

from __future__ import annotations

import ast
import random
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs
import pytest
from attrs import define, field, frozen
from typing_extensions import override

from agentflow_trio.errors import MergeConflictError, StateTypeError
from agentflow_trio.state import added, fork, latest, merge, merged_by, summed

Anything: TypeAlias = Any


def longest(base: str, theirs: str, mine: str) -> str:
    return max(theirs, mine, key=len)


@define
class Article:
    topic: str = ""
    draft: str = ""
    words: int = field(default=0, metadata=merged_by(summed))
    notes: tuple[str, ...] = field(default=(), metadata=merged_by(added))
    title: str = field(default="", metadata=merged_by(longest))
    mood: str = field(default="", metadata=merged_by(latest))
    tags: list[str] = field(factory=list[str])


@define
class Holder:
    value: Any = None
    other: Any = None


def branches(base: Anything, *changes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Forks of *base* named a, b, c ..., each with some fields written."""
    found: list[tuple[str, Any]] = []
    for name, change in zip("abcdefgh", changes, strict=False):
        forked = fork(base)
        for key, value in change.items():
            setattr(forked, key, value)
        found.append((name, forked))
    return found


def merged(base: Anything, *changes: Mapping[str, Any]) -> Anything:
    return merge(base, branches(base, *changes))


# ---------------------------------------------------------------- no conflict


def test_nothing_written_gives_a_new_equal_state() -> None:
    base = Article("t", tags=["x"])
    result = merged(base, {}, {})
    assert result == base
    assert result is not base


def test_without_branches_the_result_is_a_fork() -> None:
    base = Article("t", tags=["x"])
    result = merge(base, [])
    assert result == base
    assert result is not base
    assert result.tags is not base.tags


def test_what_one_branch_wrote_is_taken() -> None:
    assert merged(Article("t"), {"draft": "new"}, {}) == Article("t", draft="new")


def test_fields_written_by_different_branches_are_all_taken() -> None:
    result = merged(Article("t"), {"draft": "d"}, {"topic": "u"})
    assert result == Article("u", draft="d")


def test_the_value_of_a_single_writer_is_taken_even_if_its_rule_would_refuse_it() -> None:
    base = Article(notes=("old",))
    assert merged(base, {"notes": ("new",)}, {}).notes == ("new",)


def test_a_change_in_place_counts_as_written() -> None:
    base = Article(tags=["x"])
    ours = branches(base, {}, {})
    ours[0][1].tags.append("y")
    assert merge(base, ours).tags == ["x", "y"]


def test_branches_that_wrote_the_same_conflict_for_each_may_have_counted_one() -> None:
    with pytest.raises(MergeConflictError) as caught:
        merged(Article(), {"draft": "same"}, {"draft": "same"})
    assert caught.value.branches == ("a", "b")


def test_writing_back_an_equal_value_is_no_change() -> None:
    base = Article(draft="d", tags=["x"])
    assert merged(
        base, {"tags": ["x"], "draft": "d"}, {"tags": ["y"], "draft": "e"}
    ) == Article(draft="e", tags=["y"])


@pytest.mark.parametrize("text", ["123456789123456789", "1.5", "'abc' 'def'", "b'abc' b'def'"])
def test_writing_back_an_equal_number_or_text_is_no_change(text: str) -> None:
    base = Holder(ast.literal_eval(text))
    again = ast.literal_eval(text)
    assert again is not base.value
    assert merged(base, {"value": again}, {"value": None}).value is None


def test_another_class_of_an_equal_number_is_a_change() -> None:
    assert merged(Holder(1), {"value": True}, {}).value is True
    assert type(merged(Holder(1), {}, {"value": 1.0}).value) is float


def test_neither_base_nor_branches_are_changed() -> None:
    base = Article("t", notes=("n",), tags=["x"])
    ours = branches(base, {"draft": "d", "notes": ("n", "a")}, {"notes": ("n", "b")})
    before = [fork(state) for _, state in ours]
    merge(base, ours)
    assert base == Article("t", notes=("n",), tags=["x"])
    assert [state for _, state in ours] == before


def test_the_result_shares_nothing_that_can_change_with_the_base() -> None:
    base = Holder([1], {"k": [2]})
    result = merged(base, {}, {})
    result.value.append(3)
    result.other["k"].append(4)
    assert base == Holder([1], {"k": [2]})


def test_a_rule_of_the_users_cannot_hand_on_what_the_base_holds() -> None:
    def base_wins(base: list[int], theirs: list[int], mine: list[int]) -> list[int]:
        return base

    @define
    class Kept:
        items: list[int] = field(metadata=merged_by(base_wins))

    base = Kept([1])
    result = merged(base, {"items": [2]}, {"items": [3]})
    result.items.append(4)
    assert base.items == [1]
    assert result.items == [1, 4]


def test_fields_in_common_stay_in_common() -> None:
    shared = [1]
    result = merged(Holder(shared, shared), {}, {})
    assert result.value is result.other


def test_a_value_that_refers_to_its_state_refers_to_the_merged_one() -> None:
    base = Holder(1)
    base.other = [base]
    result = merge(base, [])
    assert result.other[0] is result


def test_frozen_states_merge_into_a_new_one() -> None:
    @frozen
    class Fixed:
        name: str
        size: int = 0

    base = Fixed("n")
    result = merge(
        base, [("a", attrs.evolve(base, size=1)), ("b", attrs.evolve(base, name="m"))]
    )
    assert result == Fixed("m", 1)
    assert merge(base, [("a", base)]) is not base


def test_no_init_or_validator_runs() -> None:
    @define
    class Careful:
        size: int = field(validator=attrs.validators.ge(0))
        name: str = ""

    base = Careful(1)
    ours = fork(base)
    object.__setattr__(ours, "size", -1)
    assert merge(base, [("a", ours)]).size == -1


def test_an_unset_field_that_one_branch_sets_is_set() -> None:
    @define
    class Late:
        result: str = field(init=False)
        name: str = ""

    base = Late()
    ours, theirs = fork(base), fork(base)
    ours.result = "r"
    assert merge(base, [("a", ours), ("b", theirs)]).result == "r"
    assert not hasattr(merge(base, [("b", theirs)]), "result")


def test_a_field_deleted_by_one_branch_is_unset() -> None:
    base = Article(draft="d")
    ours = fork(base)
    del ours.draft
    assert not hasattr(merge(base, [("a", ours)]), "draft")


def test_attributes_that_are_no_fields_are_merged_too() -> None:
    @define(slots=False)
    class Open:
        name: str = ""

    base = Open()
    vars(base)["extra"] = [1]
    ours, theirs = fork(base), fork(base)
    vars(ours)["extra"].append(2)
    vars(theirs)["more"] = "m"
    result = merge(base, [("a", ours), ("b", theirs)])
    assert vars(result) == {"name": "", "extra": [1, 2], "more": "m"}
    vars(ours)["more"] = "n"
    with pytest.raises(MergeConflictError, match=r"Open\.more was changed by a and b at once"):
        merge(base, [("a", ours), ("b", theirs)])


# ---------------------------------------------------------------- values that are hard to compare


class Plain:
    """Compared by identity: a copy of it is never equal to it."""

    def __init__(self, size: int) -> None:
        self.size = size


class Loud(Plain):
    """Cannot be compared at all."""

    @override
    def __eq__(self, other: object) -> bool:
        raise ValueError("no")

    __hash__ = None  # type: ignore[assignment]


class Verdicts:
    def __bool__(self) -> bool:
        raise ValueError("one verdict for each item")


class Vague(Plain):
    """Compares item by item, as arrays do."""

    @override
    def __eq__(self, other: object) -> Verdicts:  # type: ignore[override]
        return Verdicts()

    __hash__ = None  # type: ignore[assignment]


class Closed(Plain):
    """Cannot be compared, copied by its own rule, and not looked into."""

    def __deepcopy__(self, _memo: object) -> Closed:
        return Closed(self.size)

    @override
    def __reduce_ex__(self, protocol: object) -> str:
        raise TypeError("closed")


class Named:
    """Pickled by name."""

    def __deepcopy__(self, _memo: object) -> Named:
        return Named()

    @override
    def __reduce_ex__(self, protocol: object) -> str:
        return "NAMED"


@define(eq=False)
class Odd:
    size: int


@pytest.mark.parametrize("kind", [Plain, Loud, Vague, Odd])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        lambda value: [value],
        lambda value: (1, value),
        lambda value: deque([value]),
        lambda value: {"k": [value]},
        lambda value: MappingProxyType({"k": value}),
        Holder,
    ],
    ids=["bare", "list", "tuple", "deque", "dict", "proxy", "attrs"],
)
def test_a_copy_that_nobody_wrote_is_no_change_however_it_compares(
    kind: type[Any], wrap: Anything
) -> None:
    base = Holder(wrap(kind(1)))
    written = wrap(kind(2))
    assert merged(base, {"other": "a"}, {}).other == "a"
    assert merged(base, {}, {"value": written}, {}).value is written


@pytest.mark.parametrize("kind", [Plain, Loud, Vague, Odd])
def test_a_change_inside_such_a_value_is_seen(kind: type[Any]) -> None:
    base = Holder(kind(1))
    ours = branches(base, {}, {})
    ours[0][1].value.size = 2
    assert merge(base, ours).value.size == 2
    ours[1][1].value.size = 3
    with pytest.raises(MergeConflictError, match=r"Holder\.value was changed by a and b"):
        merge(base, ours)


def test_what_cannot_be_looked_into_counts_as_changed() -> None:
    base = Holder(Closed(1))
    with pytest.raises(MergeConflictError):
        merged(base, {}, {})


def test_what_is_pickled_by_name_is_the_same_wherever_it_is() -> None:
    assert isinstance(merged(Holder(Named()), {}, {}).value, Named)


def test_a_generator_of_chance_that_one_branch_drew_from_has_changed() -> None:
    base = Holder(random.Random(7))
    ours = branches(base, {}, {})
    first = ours[1][1].value.random()
    assert first == random.Random(7).random()
    assert merge(base, ours).value.random() != first


def test_cyclic_values_that_nobody_wrote_are_no_change() -> None:
    items: list[Any] = [1]
    items.append(items)
    result = merged(Holder(items), {"other": "a"}, {})
    assert result.value[1] is result.value


def test_nan_that_nobody_wrote_is_no_change() -> None:
    result = merged(Holder(float("nan"), [float("nan"), [1]]), {}, {})
    assert result.value != result.value


def test_dicts_with_other_keys_and_lists_of_other_lengths_have_changed() -> None:
    base = Holder({"a": [Plain(1)]}, [[Plain(1)]])
    result = merged(base, {"value": {"b": [Plain(1)]}}, {"other": [[Plain(1), Plain(2)]]})
    assert list(result.value) == ["b"]
    assert len(result.other[0]) == 2


def test_a_changed_text_beside_an_object_is_seen() -> None:
    base = Holder([Plain(1), "x"])
    assert merged(base, {"value": [Plain(1), "y"]}, {}).value[1] == "y"
    assert merged(base, {"value": [Plain(1), 3]}, {}).value[1] == 3


def test_the_same_object_beside_others_is_no_change() -> None:
    inner = ["x", "y"]
    base = Holder([Plain(1), inner, ["x"]])
    assert merged(base, {}, {}).value[1:] == [["x", "y"], ["x"]]


# ---------------------------------------------------------------- conflicts


def test_two_writers_of_a_field_without_a_rule_conflict() -> None:
    with pytest.raises(MergeConflictError) as caught:
        merged(Article(), {"draft": "x"}, {}, {"draft": "y"})
    assert (caught.value.field, caught.value.branches) == ("Article.draft", ("a", "c"))
    assert str(caught.value) == (
        "Article.draft was changed by a and c at once; give it a rule, as in "
        "field(metadata=merged_by(added)), or let one of them write"
    )


def test_all_writers_are_named_in_declared_order() -> None:
    with pytest.raises(MergeConflictError) as caught:
        merged(Article(), *({"draft": text} for text in "wxyz"))
    assert caught.value.branches == ("a", "b", "c", "d")


def test_deleted_here_and_changed_there_is_a_conflict_even_with_a_rule() -> None:
    base = Article(words=1)
    ours, theirs = fork(base), fork(base)
    del ours.words
    theirs.words = 2
    with pytest.raises(MergeConflictError, match=r"Article\.words"):
        merge(base, [("a", ours), ("b", theirs)])
    assert not hasattr(merge(base, [("a", ours), ("b", fork(ours))]), "words")


def test_a_branch_of_another_class_is_refused() -> None:
    base: Any = Article()
    with pytest.raises(
        TypeError, match="branch 'b' holds a Holder, not the Article it was forked from"
    ):
        merge(base, [("a", Article()), ("b", Holder())])


def test_what_is_no_attrs_class_cannot_be_merged() -> None:
    with pytest.raises(StateTypeError, match="not dict"):
        merge({"a": 1}, [])


# ---------------------------------------------------------------- rules


def test_summed_adds_what_each_branch_added_even_if_they_wrote_the_same() -> None:
    assert merged(Article(words=10), {"words": 11}, {"words": 11}, {"words": 7}).words == 9


def test_added_keeps_the_base_and_every_addition_in_declared_order() -> None:
    base = Article(notes=("n",))
    result = merged(base, {"notes": ("n", "a")}, {}, {"notes": ("n", "c", "c")})
    assert result.notes == ("n", "a", "c", "c")


def test_added_keeps_the_same_addition_of_two_branches_twice() -> None:
    assert merged(Article(), {"notes": ("x",)}, {"notes": ("x",)}).notes == ("x", "x")


def test_added_refuses_a_branch_that_rewrote_what_was_there() -> None:
    with pytest.raises(MergeConflictError) as caught:
        merged(Article(notes=("n",)), {"notes": ("n", "a")}, {"notes": ("m", "b")})
    assert (caught.value.field, caught.value.branches) == ("Article.notes", ("a", "b"))
    assert caught.value.reason == "added wants what was there to stay as the beginning"


def test_latest_takes_the_last_writer_in_declared_order() -> None:
    assert merged(Article(), {"mood": "x"}, {"mood": "y"}, {}).mood == "y"


def test_a_rule_of_the_users_is_folded_over_the_writers_in_declared_order() -> None:
    seen: list[tuple[str, str, str]] = []

    def watched(base: str, theirs: str, mine: str) -> str:
        seen.append((base, theirs, mine))
        return theirs + mine

    @define
    class Watched:
        text: str = field(default="0", metadata=merged_by(watched))

    assert merged(Watched(), {"text": "1"}, {}, {"text": "2"}, {"text": "3"}).text == "123"
    assert seen == [("0", "1", "2"), ("0", "12", "3")]


def test_a_rule_that_cannot_be_hashed_is_a_rule() -> None:
    class Longest:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, base: str, theirs: str, mine: str) -> str:
            return longest(base, theirs, mine)

    @define
    class Titled:
        title: str = field(default="", metadata=merged_by(Longest()))

    assert merged(Titled(), {"title": "abc"}, {"title": "ab"}).title == "abc"


def test_an_error_in_a_rule_says_where_it_arose() -> None:
    def broken(base: str, theirs: str, mine: str) -> str:
        raise ZeroDivisionError

    @define
    class Broken:
        text: str = field(default="", metadata=merged_by(broken))

    with pytest.raises(ZeroDivisionError) as caught:
        merged(Broken(), {"text": "1"}, {"text": "2"})
    assert caught.value.__notes__ == ["in the merge of Broken.text, written by a, b"]


def test_a_rule_that_is_none_is_refused_where_it_is_written() -> None:
    rule: Any = "added"
    with pytest.raises(TypeError, match=r"merged_by takes a rule .* not 'added'"):
        merged_by(rule)


@pytest.mark.parametrize(
    ("base", "theirs", "mine", "sum_"),
    [
        (1, 3, 0, 2),
        (0.1, 0.1 + 0.2, 0.4, 0.6000000000000001),
        (Decimal("0.1"), Decimal("0.3"), Decimal("0.4"), Decimal("0.6")),
        (Fraction(1, 3), Fraction(2, 3), Fraction(1), Fraction(4, 3)),
        (timedelta(1), timedelta(2), timedelta(4), timedelta(5)),
        (0.0, float("inf"), 1.0, float("inf")),
        (1e308, 1.7e308, 1.7e308, float("inf")),
    ],
    ids=["int", "float", "Decimal", "Fraction", "timedelta", "inf", "overflow"],
)
def test_summed_alone(base: Anything, theirs: Anything, mine: Anything, sum_: Anything) -> None:
    assert summed(base, theirs, mine) == sum_


def test_summed_from_infinity_is_what_ieee_says() -> None:
    inf = float("inf")
    assert str(summed(inf, -inf, inf)) == "nan"


def test_the_sum_of_floats_does_not_depend_on_the_order_of_the_branches() -> None:
    @define
    class Cost:
        total: float = field(default=0.1, metadata=merged_by(summed))

    parts = [{"total": 0.1 + part} for part in (1e16, 1.0, -1e16, 0.3)]
    assert (
        merged(Cost(), *parts)
        == merged(Cost(), *reversed(parts))
        == merged(Cost(), parts[2], parts[0], parts[3], parts[1])
    )


@pytest.mark.parametrize(
    ("base", "theirs", "mine", "both"),
    [
        ((1,), (1, 2), (1, 3), (1, 2, 3)),
        ([1], [1, 2], [1, 3], [1, 2, 3]),
        ("a", "ab", "ac", "abc"),
        (b"a", b"ab", b"ac", b"abc"),
    ],
    ids=["tuple", "list", "str", "bytes"],
)
def test_added_alone(base: Anything, theirs: Anything, mine: Anything, both: Anything) -> None:
    assert added(base, theirs, mine) == both


def test_added_alone_refuses_what_is_no_addition() -> None:
    with pytest.raises(MergeConflictError) as caught:
        added((1,), (1, 2), (2,))
    assert (caught.value.field, caught.value.branches) == ("the value", ("theirs", "mine"))
    assert caught.value.reason == "added wants what was there to stay as the beginning"


def test_added_takes_no_sets() -> None:
    values: Any = {1}
    with pytest.raises(TypeError, match="added merges tuples, lists, text and bytes, not set"):
        added(values, values, values)


def test_latest_alone() -> None:
    assert latest(1, 2, 3) == 3


def test_added_works_on_values_that_compare_by_identity() -> None:
    @define
    class Log:
        entries: list[Plain] = field(factory=list[Plain], metadata=merged_by(added))

    base = Log([Plain(0)])
    ours = branches(base, {}, {})
    ours[0][1].entries.append(Plain(1))
    ours[1][1].entries.append(Plain(2))
    assert [entry.size for entry in merge(base, ours).entries] == [0, 1, 2]


def test_the_additions_of_many_branches_are_merged_in_one_pass() -> None:
    base = Article()
    ours = [(str(n), attrs.evolve(fork(base), notes=(str(n),), words=1)) for n in range(2_000)]
    result = merge(base, ours)
    assert result.notes == tuple(str(n) for n in range(2_000))
    assert result.words == 2_000
