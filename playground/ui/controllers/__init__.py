"""Controllers: each connects panes and dialogs to one part of the program, and owns its tasks."""
