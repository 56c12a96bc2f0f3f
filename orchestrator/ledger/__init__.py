"""What is wanted, known and left of a study, and who stops; in memory alone."""
