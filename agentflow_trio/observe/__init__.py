"""What is made of the events of runs: metrics, logs, traces, alerts, profiles, an audit trail.

Every name here is a fold over events, or an adapter of one; none knows of flows or of the engine. The adapters that
import something heavy are modules of their own: `observe.prometheus`, `observe.logs`, `observe.otel`.
"""

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from ._alert_export_core import as_prometheus
    from ._alert_file import load_rules
    from ._alert_rule import AlertRule, AlertRulesError, RuleProblem
    from ._alerts import AlertAction, Alerts, AlertsInUseError, AlertsStatistics
    from ._audit import AuditInUseError, AuditTrail, verify_audit
    from ._audit_core import AuditBrokenError, AuditHead, AuditRecord
    from ._critical_core import PathLink, critical_path
    from ._dashboard_core import grafana_dashboard
    from ._event_lines import EventLineError, read_events, write_event
    from ._guard_use_core import EventCounts, GuardProfile
    from ._histogram_core import Histogram
    from ._metric_core import Metric
    from ._metric_table_core import METRICS
    from ._metrics import Family, MetricsCollector, Sample
    from ._profile_core import Profile, Profiler, percentile
    from ._profile_records_core import FailureProfile, PathShare, PlaceProfile, RunProfile
    from ._report_html import report_html
    from ._rules_core import prometheus_rules
    from ._samples_core import MetricsReader
    from ._span_fold_core import spans_of
    from ._spans_core import Attempt, RunSpans, Span, Wait
else:
    __getattr__ = lazily(
        __name__,
        {
            "AlertAction": "._alerts",
            "AlertRule": "._alert_rule",
            "AlertRulesError": "._alert_rule",
            "Alerts": "._alerts",
            "AlertsInUseError": "._alerts",
            "AlertsStatistics": "._alerts",
            "Attempt": "._spans_core",
            "AuditBrokenError": "._audit_core",
            "AuditHead": "._audit_core",
            "AuditInUseError": "._audit",
            "AuditRecord": "._audit_core",
            "AuditTrail": "._audit",
            "EventCounts": "._guard_use_core",
            "EventLineError": "._event_lines",
            "FailureProfile": "._profile_records_core",
            "Family": "._metrics",
            "GuardProfile": "._guard_use_core",
            "Histogram": "._histogram_core",
            "METRICS": "._metric_table_core",
            "Metric": "._metric_core",
            "MetricsCollector": "._metrics",
            "MetricsReader": "._samples_core",
            "PathLink": "._critical_core",
            "PathShare": "._profile_records_core",
            "PlaceProfile": "._profile_records_core",
            "Profile": "._profile_core",
            "Profiler": "._profile_core",
            "RuleProblem": "._alert_rule",
            "RunProfile": "._profile_records_core",
            "RunSpans": "._spans_core",
            "Sample": "._metrics",
            "Span": "._spans_core",
            "Wait": "._spans_core",
            "as_prometheus": "._alert_export_core",
            "critical_path": "._critical_core",
            "grafana_dashboard": "._dashboard_core",
            "load_rules": "._alert_file",
            "percentile": "._profile_core",
            "prometheus_rules": "._rules_core",
            "read_events": "._event_lines",
            "report_html": "._report_html",
            "spans_of": "._span_fold_core",
            "verify_audit": "._audit",
            "write_event": "._event_lines",
        },
    )

__all__ = [
    "METRICS",
    "AlertAction",
    "AlertRule",
    "AlertRulesError",
    "Alerts",
    "AlertsInUseError",
    "AlertsStatistics",
    "Attempt",
    "AuditBrokenError",
    "AuditHead",
    "AuditInUseError",
    "AuditRecord",
    "AuditTrail",
    "EventCounts",
    "EventLineError",
    "FailureProfile",
    "Family",
    "GuardProfile",
    "Histogram",
    "Metric",
    "MetricsCollector",
    "MetricsReader",
    "PathLink",
    "PathShare",
    "PlaceProfile",
    "Profile",
    "Profiler",
    "RuleProblem",
    "RunProfile",
    "RunSpans",
    "Sample",
    "Span",
    "Wait",
    "as_prometheus",
    "critical_path",
    "grafana_dashboard",
    "load_rules",
    "percentile",
    "prometheus_rules",
    "read_events",
    "report_html",
    "spans_of",
    "verify_audit",
    "write_event",
]
