"""One Run a request, and the fold from events to what is shown."""
