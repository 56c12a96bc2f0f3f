"""What trains: the learners, and what they train with."""
