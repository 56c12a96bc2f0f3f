"""The declared experiment: its file, levels, search, recipes and what it refers to."""
