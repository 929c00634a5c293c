"""Voice timeline window: speech and silence of a run as a caller would experience them."""
