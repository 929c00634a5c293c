"""Compare mode: variants of a prompt side by side."""
