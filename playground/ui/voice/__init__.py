"""The voice timeline: when a caller would hear what, and when nothing."""
