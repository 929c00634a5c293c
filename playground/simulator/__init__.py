"""A built-in server that speaks Electron's API on loopback, in its own process; shares no code with the client."""
