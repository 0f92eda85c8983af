"""What is made of the events of runs: metrics, logs, traces, alerts, profiles, an audit trail.

Every name here is a fold over events, or an adapter of one; none knows of flows or of the engine. The adapters that
import something heavy are modules of their own: `observe.prometheus`, `observe.logs`, `observe.otel`.
"""
