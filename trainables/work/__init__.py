"""One trial as a worker carries it out."""
