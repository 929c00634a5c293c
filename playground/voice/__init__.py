"""Voice timeline: speech computed from the arrival times of a completion's text. No I/O, no Qt."""
