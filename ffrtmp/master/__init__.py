"""The process that owns the jobs."""
