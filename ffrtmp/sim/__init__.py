"""Simulated fleets: the real worker session and journal, with a runner that encodes nothing."""
