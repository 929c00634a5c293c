"""Experiments: cache lab, repeated requests, batches, and replay of logged requests."""
