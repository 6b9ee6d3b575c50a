"""Where media lies: local roots, and how an output is staged and published there."""
