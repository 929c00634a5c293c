"""The request log pane: filter, table, row actions."""
