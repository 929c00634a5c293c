"""Files the program ships with: themes, sample prompts, icons. Read through importlib.resources."""
