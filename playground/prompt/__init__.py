"""The prompt: document, request body, files and formats, limits of the server. Without Qt and network."""
