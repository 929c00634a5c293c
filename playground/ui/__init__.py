"""Everything Qt. The window composes panes; a pane never imports another pane."""
