"""Widgets that several panes share, one file per widget."""
