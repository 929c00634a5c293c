"""What a person edits (Document), what is sent (Request), and the files that hold them. Qt-free, network-free."""
