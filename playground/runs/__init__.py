"""Runs: one per request, and the fold from a run's events to its displayed state."""
