"""What a trial takes of a machine, measured beforehand."""
