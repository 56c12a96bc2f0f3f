"""What of a machine a trial is given."""
