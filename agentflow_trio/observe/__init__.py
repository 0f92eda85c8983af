"""What is made of the events of runs: metrics, logs, traces, alerts, profiles, an audit trail.

Every name here is a fold over events, or an adapter of one; none knows of flows or of the engine. The adapters that
import something heavy are modules of their own: `observe.prometheus`, `observe.logs`, `observe.otel`.
"""

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from ._event_lines import EventLineError, read_events, write_event
else:
    __getattr__ = lazily(
        __name__,
        {
            "EventLineError": "._event_lines",
            "read_events": "._event_lines",
            "write_event": "._event_lines",
        },
    )

__all__ = ["EventLineError", "read_events", "write_event"]
