"""The response pane: text, rendered, tool calls, events, JSON."""
