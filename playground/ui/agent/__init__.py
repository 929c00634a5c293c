"""Chains of tool turns in the window: run, watched, answered, edited and gone on with."""
