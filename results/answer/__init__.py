"""The answer of a study in sentences."""
