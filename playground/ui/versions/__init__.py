"""Panel with the version history of the prompt."""
