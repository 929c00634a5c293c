"""Dialogs: endpoints and keys, settings, all keys. Opened with open(), never exec()."""
