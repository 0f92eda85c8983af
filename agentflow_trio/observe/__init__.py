"""What is made of the events of runs: metrics, logs, traces, alerts, profiles, an audit trail.

Every name here is a fold over events, or an adapter of one; none knows of flows or of the engine. The adapters that
import something heavy are modules of their own: `observe.prometheus`, `observe.logs`, `observe.otel`.
"""

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from ._alert_file import load_rules
    from ._alert_rule import AlertRule, AlertRulesError, RuleProblem
    from ._audit import AuditInUseError, AuditTrail, verify_audit
    from ._audit_core import AuditBrokenError, AuditHead, AuditRecord
    from ._event_lines import EventLineError, read_events, write_event
    from ._histogram_core import Histogram
    from ._metric_table_core import METRICS, Metric
    from ._metrics import Family, MetricsCollector, Sample
else:
    __getattr__ = lazily(
        __name__,
        {
            "AlertRule": "._alert_rule",
            "AlertRulesError": "._alert_rule",
            "AuditBrokenError": "._audit_core",
            "AuditHead": "._audit_core",
            "AuditInUseError": "._audit",
            "AuditRecord": "._audit_core",
            "AuditTrail": "._audit",
            "EventLineError": "._event_lines",
            "Family": "._metrics",
            "Histogram": "._histogram_core",
            "METRICS": "._metric_table_core",
            "Metric": "._metric_table_core",
            "MetricsCollector": "._metrics",
            "RuleProblem": "._alert_rule",
            "Sample": "._metrics",
            "load_rules": "._alert_file",
            "read_events": "._event_lines",
            "verify_audit": "._audit",
            "write_event": "._event_lines",
        },
    )

__all__ = [
    "METRICS",
    "AlertRule",
    "AlertRulesError",
    "AuditBrokenError",
    "AuditHead",
    "AuditInUseError",
    "AuditRecord",
    "AuditTrail",
    "EventLineError",
    "Family",
    "Histogram",
    "Metric",
    "MetricsCollector",
    "RuleProblem",
    "Sample",
    "load_rules",
    "read_events",
    "verify_audit",
    "write_event",
]
