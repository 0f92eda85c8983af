"""Tests that need OpenTelemetry are not even imported without it."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("opentelemetry") else ["test_otel*", "test_every_event*"]
