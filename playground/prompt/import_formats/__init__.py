"""Prompts in the formats of other tools, read as documents. Nothing in them is executed or fetched."""
