"""Turns that call tools: run until answer, up to a limit that is always set."""
