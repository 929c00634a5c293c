"""Experiments: what can be found out by sending on purpose."""
