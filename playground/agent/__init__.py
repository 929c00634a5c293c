"""The agent loop: requests and tool calls until the model answers, up to a limit."""
