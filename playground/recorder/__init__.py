"""The Recorder: a loopback address that forwards requests to an endpoint and records them."""
