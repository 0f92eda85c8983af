"""docs/examples/prose.py: which sentences it finds, and what it takes for the same."""

from __future__ import annotations

import pytest

import prose


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "One is here. Two is there! Is three?",
            ["One is here.", "Two is there!", "Is three?"],
        ),
        ("See e.g. Trio, cf. Dr. A. Smith et al. (2020), Fig. 3.", None),
        (
            "It costs 3.5 s in v1.2. of course. Next one.",
            ["It costs 3.5 s in v1.2. of course.", "Next one."],
        ),
        ("Call `a. B` or `run()`. `exec` waits.", ["Call `a. B` or `run()`.", "`exec` waits."]),
        ('He said "go." Then (it went.) Yes.', ['He said "go."', "Then (it went.)", "Yes."]),
        ("Two lines\nmake one sentence.", ["Two lines make one sentence."]),
        ("Not finished", []),
        ("Such as:\n\n- an item\n- An item. With two.\n", ["An item.", "With two."]),
        ("# Heading. Here.\n\nText.\n\nOther. Title.\n====\n", ["Text."]),
        ("---\ntitle: No. Prose.\n---\nText.\n", ["Text."]),
        ("```python\nNo. Prose.\n```\n\n    No. Prose.\n\nText.\n", ["Text."]),
        ("````\n```\nNo. Prose.\n```\nNo.\n````\nText.\n", ["Text."]),
        ("| a | b |\n|---|---|\n| No. | Prose. |\n\nText.\n", ["Text."]),
        ("<!-- No. Prose. -->\n\n<div>No.</div>\n\nText.\n", ["Text."]),
        (
            "A [link](x.md), a [ref][r] and ![no](i.png) image.\n\n[r]: y.md\n",
            ["A link, a ref and image."],
        ),
        ("**Bold. Still** *here*, `**kwargs` too.", ["Bold.", "Still here, `**kwargs` too."]),
        (
            "Call {func}`~trio.run` or {doc}`the guide <guide>`.",
            ["Call `trio.run` or `the guide`."],
        ),
        ("Status\n: accepted, 2026.\n", ["accepted, 2026."]),
        ("::: {note}\nMind this one.\n:::\n", ["Mind this one."]),
        ("Keep \\*stars\\* and \\<tags>.", ["Keep \\*stars\\* and \\<tags>."]),
        ("Same. Same.", ["Same."]),
        ("> Quoted text.\n> More of it.", ["Quoted text.", "More of it."]),
    ],
)
def test_markdown_becomes_sentences(text: str, found: list[str] | None) -> None:
    assert prose.parsed(text)[1] == tuple([text] if found is None else found)


def test_the_title_is_the_first_heading() -> None:
    assert prose.parsed("Text.\n\n## Of `this` *page*\n\n# Other\n")[0] == "Of `this` page"
    assert prose.parsed("Text.")[0] == ""


def test_plain_text_may_be_indented() -> None:
    assert prose.parsed("    Indented text.", markdown=False)[1] == ("Indented text.",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Flows and flow, policies, policy", ["flow", "flow", "policy", "policy"]),
        ("classes, class, bus, basis, branches", ["class", "class", "bus", "basis", "branch"]),
        ("don't isn't it's max_visits", ["max_visit"]),
        ("a an 12 3rd x1", []),
    ],
)
def test_terms_are_words_with_meaning_in_the_singular(text: str, found: list[str]) -> None:
    assert prose.terms(text) == found


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [("ab", "ab", 1.0), ("ab", "bc", 0.5), ("ab", "cd", 0.0), ("", "", 0.0)],
)
def test_overlap_is_the_share_of_terms_in_common(one: str, other: str, share: float) -> None:
    assert prose.overlap(frozenset(one), frozenset(other)) == share
