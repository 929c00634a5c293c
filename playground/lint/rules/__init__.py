"""The rules, a file for each or for a few that belong together. `registry` lists them."""
