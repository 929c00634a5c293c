"""The Electron protocol. The only room that imports httpx."""
