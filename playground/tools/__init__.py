"""Tool definitions: import, form, JSON Schema checks, positions in JSON text."""
