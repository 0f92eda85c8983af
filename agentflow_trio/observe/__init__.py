"""What is made of the events of runs: metrics, logs, traces, alerts, profiles, an audit trail.

Every name here is a fold over events, or an adapter of one; none knows of flows or of the engine. The adapters that
import something heavy are modules of their own: `observe.prometheus`, `observe.logs`, `observe.otel`.
"""

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from ._alert_file import (
        load_rules,
    )
    from ._alert_rule import (
        AlertRule,
        AlertRulesError,
        RuleProblem,
    )
else:
    __getattr__ = lazily(
        __name__,
        {
            "AlertRule": "._alert_rule",
            "AlertRulesError": "._alert_rule",
            "RuleProblem": "._alert_rule",
            "load_rules": "._alert_file",
        },
    )

__all__ = [
    "AlertRule",
    "AlertRulesError",
    "RuleProblem",
    "load_rules",
]
