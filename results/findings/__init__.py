"""What stands against comparisons, and what finds it."""
