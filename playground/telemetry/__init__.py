"""Telemetry of ended requests: lines in a file, spans to a collector. Off unless switched on."""
