"""The adviser: each rule of the vendor's best-practice guide, judged on the prompt at hand. Pure."""
