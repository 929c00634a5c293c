"""Dialogs: endpoints, settings, commands, guide, experiments, tickets, tools. Opened with open(), never exec()."""
