"""What other tools are told of an ended request: lines in a file, spans to a collector. Off unless switched on."""
