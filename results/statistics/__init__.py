"""Array to number: intervals, curves, crossovers, worth."""
