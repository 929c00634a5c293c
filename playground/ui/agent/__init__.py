"""Agent loop window: run, follow, answer, edit and continue a conversation of tool turns."""
