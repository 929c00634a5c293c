"""Tools of Model Context Protocol servers, by the protocol's official Python SDK. An optional extra: `mcp`.

A server is named by the person who uses it, never by a file that was opened.
"""
