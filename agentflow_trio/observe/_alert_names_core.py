"""Whether a rule names flows and steps that there are: nothing else tells a misspelt one, whose metric is 0 for ever.

Layer: observe. Pure. Rule: guards, observers and alerts may be made anywhere, so that only flows and steps can be checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from ._alert_rule import AlertRule, RuleProblem
from ._condition_core import Term, parse
from ._metric_names_core import Selection, selections

__all__ = ["misnamed"]


def misnamed(rule: AlertRule, places: Collection[str]) -> Iterator[RuleProblem]:
    """What *rule* names that is not among *places*: the path of a flow, and those of all its steps, without numbers."""
    dotted = [place.replace("/", ".") for place in places]
    for term in parse(rule.condition).terms:
        asked = [*selections(term.metric)]
        if not any(_may_be(selection, dotted) for meaning in asked for selection in meaning):
            yield _unknown(rule, term, asked[0][0].owner, dotted)


def _may_be(asked: Selection, dotted: Sequence[str]) -> bool:
    match asked.metric.owner:
        case ("flow", "node"):
            return _is_place(asked.owner, dotted)
        case ("flow",):
            return asked.owner == dotted[0]
        case _:
            return True


def _is_place(owner: str, dotted: Collection[str]) -> bool:
    return any(f".{place}".endswith(f".{owner}") for place in dotted)


def _unknown(rule: AlertRule, term: Term, owner: str, dotted: Sequence[str]) -> RuleProblem:
    names = [*dotted, *(place.rpartition(".")[2] for place in dotted)]
    near = get_close_matches(owner, names)
    if _is_place(owner, dotted):
        what = f"{owner!r} is a step, which has no such metric"
        remedy = f"write it for the flow, {dotted[0]!r}"
    else:
        what = f"there is no flow or step {owner!r}"
        remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(dotted)}"
    return RuleProblem(
        rule=rule.name,
        field="condition",
        sentence=f"column {term.column} of {rule.condition!r}: {what}",
        remedy=remedy,
    )
