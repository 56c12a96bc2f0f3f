"""Images: read, decoded once per node, split, drawn in batches."""
