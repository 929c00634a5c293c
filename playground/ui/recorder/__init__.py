"""Recorder mode: requests of another program, live, with what breaks their prefix."""
