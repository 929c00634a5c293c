"""The self-test: the main job in the real window, as a person does it."""
