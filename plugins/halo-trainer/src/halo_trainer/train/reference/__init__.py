"""The reference of a training: its log-probabilities, its updates and the reference point."""
