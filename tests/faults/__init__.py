"""Faults of the machine under the data folder: kills, a full disk, deleted folders, damaged files, wrong clocks."""
