"""The four panes of the window: prompt, response, inspector, request log. A pane never imports another pane."""
