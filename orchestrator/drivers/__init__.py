"""Who carries trials out: this process, or workers of a Ray cluster."""
