"""What a run does: one pass after another, written down."""
