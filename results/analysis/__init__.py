"""Frame to frame: what the records say."""
