"""Version history of prompts: storage, comparison, figures, commits of Git."""
