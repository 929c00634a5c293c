"""Electron Playground: a desktop playground for Smallest AI's Electron model."""

__version__ = "0.1.0"
