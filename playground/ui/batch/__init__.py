"""Batch mode: one prompt for every row of a table."""
