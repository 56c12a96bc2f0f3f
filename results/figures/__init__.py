"""The figures of a study: its analysis, or a frame, becomes a matplotlib figure."""
