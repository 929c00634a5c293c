"""What is handed on: tickets for support, and commands that send a logged request again. Never with a key."""
