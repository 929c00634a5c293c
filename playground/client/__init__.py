"""HTTP client for chat completions. The only package that imports httpx."""
