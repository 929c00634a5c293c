"""What a caller would hear: speech laid out from the text as it arrived. Pure."""
