"""The inspector: usage, forecast, latency, cost, request_id, why."""
