"""Small widgets that several panes share; one file a widget."""
