"""The prompt pane: message cards with their zones, variables, tools, parameters, body."""
