"""The tests, in the rooms' own order. `python -m tests` runs every check."""
