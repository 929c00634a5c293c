"""The bars at the top and bottom of the window."""
