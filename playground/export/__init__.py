"""Export and import of logged requests: tickets, scripts, tables, HAR. Never with a key."""
