"""A run directory on disk or in an object store."""
