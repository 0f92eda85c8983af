"""Rules of alerts as rules of Prometheus: the same conditions in PromQL, over the names of the table of metrics.

Layer: observe. Pure. Rules: what nobody counted yet is 0 there, too; values are summed over all instances that Prometheus
scrapes; an alert that is resolved later than it stops holding looks at ``ALERTS``, the series in which Prometheus writes
down what it told itself at its last evaluation.

Source: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ._alert_rule import AlertRule
from ._condition_core import Condition, Term, parse
from ._metric_names_core import Selection, selections

__all__ = ["as_prometheus", "promql"]

_SUFFIXES: Final = {"value": "", "count": "_count", "sum": "_sum", "quantile": "_bucket"}
_OF_VISITS: Final = "agentflow_node_"
"""How names of metrics begin that only visits of steps have; the others may be of the flow itself, without a node."""


def as_prometheus(rules: Iterable[AlertRule], /, *, group: str = "agentflow") -> str:
    """Return *rules* as a rules file for Prometheus: JSON, and so YAML, that ``promtool check rules`` accepts.

    Each rule keeps its name, its condition, ``for_`` and ``resolve_below``; ``severity`` and ``action`` become labels, by
    which Alertmanager routes. Windows are those of Prometheus: it extrapolates to their ends, so that a ``rate`` may differ
    by what one scrape is of its window; and it sees no growth in the first sample of a new series.

    Args:
        rules: names differ.
        group: what Prometheus calls them together.
    """
    told = {"groups": [{"name": group, "rules": [_told(rule) for rule in rules]}]}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def promql(rule: AlertRule) -> str:
    """The expression that has a value while the alert of *rule* is pending or firing."""
    value = _condition(parse(rule.condition))
    holds = f"{value} {rule.op} {_number(rule.threshold)}"
    if rule.resolve_below is None:
        return holds
    # Once it fires: as long as the value is not beyond.
    stays = ">=" if rule.op in {">", ">="} else "<="
    firing = f'ALERTS{{alertname={_text(rule.name)},alertstate="firing"}}'
    return f"{holds} or {value} {stays} {_number(rule.resolve_below)} and on() {firing}"


def _told(rule: AlertRule) -> dict[str, object]:
    told: dict[str, object] = {"alert": rule.name, "expr": promql(rule)}
    if rule.for_:
        told["for"] = f"{max(1, round(rule.for_ * 1000.0))}ms"
    annotations = {
        "summary": _plain(f"{rule.name}: {rule.condition} {rule.op} {_number(rule.threshold)}"),
        "value": "{{ $value }}",
    }
    if rule.resolve_below is not None:
        side = "below" if rule.op in {">", ">="} else "above"
        annotations["resolved"] = f"when it is {side} {_number(rule.resolve_below)}"
    return {
        **told,
        "labels": {"severity": rule.severity, "action": rule.action},
        "annotations": annotations,
    }


# ---------------------------------------------------------------- PromQL


def _condition(condition: Condition) -> str:
    """A vector of one element without labels; of none if there is no data."""
    if condition.over is None:
        return _term(condition.term)
    return f"{_term(condition.term)} / {_term(condition.over)}"


def _term(term: Term) -> str:
    asked = next(selections(term.metric))
    quantile = term.share or asked[0].share
    suffix = "_bucket" if quantile else _SUFFIXES[asked[0].reading]
    series = [each for selection in asked for each in _series(selection, suffix)]
    if term.window:
        function = "increase" if term.how == "increase" else "rate"
        series = [f"{function}({each}[{_duration(term.window)}])" for each in series]
    together = " or ".join(series)
    if quantile:
        found = f"histogram_quantile({_number(quantile)}, sum by (le) ({together}))"
    else:
        found = f"sum({together})"
    if asked[0].scale != 1.0:
        found = f"{found} * {_number(asked[0].scale)}"
    if term.unseen is not None:
        return f"({found} or vector({_number(term.unseen)}))"
    return f"({found})" if asked[0].scale != 1.0 else found


def _series(asked: Selection, suffix: str) -> Iterator[str]:
    """Selectors of the series that a name means."""
    name = f"{asked.metric.name}{suffix}"
    part = [] if asked.value is None else [f"{asked.metric.labels[-1]}={_text(asked.value)}"]
    for owner in _owners(asked):
        yield f"{name}{{{','.join([*owner, *part])}}}"


def _owners(asked: Selection) -> Iterator[Sequence[str]]:
    """How labels say whose it is. A step is named by its whole path, flow first, or by any ending of it.

    The flow of a whole path is taken to have no dot in its own name.
    """
    if len(asked.metric.owner) == 1:
        yield [f"{asked.metric.owner[0]}={_text(asked.owner)}"]
        return
    yield [f"node=~{_text('(.*[./])?' + _path(asked.owner))}"]
    flow, dot, node = asked.owner.partition(".")
    if dot:
        yield [f"flow={_text(flow)}", f"node=~{_text(_path(node))}"]
    elif not asked.metric.name.startswith(_OF_VISITS):
        yield [f"flow={_text(flow)}", 'node=""']


def _path(dotted: str) -> str:
    """A pattern for the label ``node``: a dot of the name is a slash there, or a dot of a step's own name."""
    return "[./]".join(re.escape(part) for part in dotted.split("."))


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    return f"{value:.15g}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f}s"


def _plain(text: str) -> str:
    """*text* as a template of Prometheus that means just that."""
    return text.replace("{{", '{{ "{{" }}')
