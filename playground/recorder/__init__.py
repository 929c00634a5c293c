"""The Recorder: a loopback address that forwards to an endpoint unchanged and records every request."""
