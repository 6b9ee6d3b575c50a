"""Schedules from a seed: of the domain alone, and of a whole cluster on a virtual clock."""
