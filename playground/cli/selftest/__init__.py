"""Self-test: the main job in the real window, through its widgets."""
