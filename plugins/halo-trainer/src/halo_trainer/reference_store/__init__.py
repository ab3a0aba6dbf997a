"""Keeps the log-probabilities of a frozen reference on disk, so that each is computed once."""
