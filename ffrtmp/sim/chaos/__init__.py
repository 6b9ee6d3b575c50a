"""Chaos: a cluster of real processes under a seeded plan of faults, and the judge of what came."""
