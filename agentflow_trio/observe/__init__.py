"""What is made of the events of runs: metrics, logs, traces, alerts, profiles, an audit trail.

Every name here is a fold over events, or an adapter of one; none knows of flows or of the engine. The adapters that
import something heavy are modules of their own: `observe.prometheus`, `observe.logs`, `observe.otel`.
"""

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from ._audit import AuditInUseError, AuditTrail, verify_audit
    from ._audit_core import AuditBrokenError, AuditHead, AuditRecord
    from ._event_lines import EventLineError, read_events, write_event
else:
    __getattr__ = lazily(
        __name__,
        {
            "AuditBrokenError": "._audit_core",
            "AuditHead": "._audit_core",
            "AuditInUseError": "._audit",
            "AuditRecord": "._audit_core",
            "AuditTrail": "._audit",
            "EventLineError": "._event_lines",
            "read_events": "._event_lines",
            "verify_audit": "._audit",
            "write_event": "._event_lines",
        },
    )

__all__ = [
    "AuditBrokenError",
    "AuditHead",
    "AuditInUseError",
    "AuditRecord",
    "AuditTrail",
    "EventLineError",
    "read_events",
    "verify_audit",
    "write_event",
]
