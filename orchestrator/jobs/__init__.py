"""A study as a job of a cluster."""
