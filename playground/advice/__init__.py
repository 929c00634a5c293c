"""The adviser: each rule of the best-practice guide, checked on the prompt at hand. Pure."""
