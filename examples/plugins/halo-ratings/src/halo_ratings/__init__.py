"""Rated answers in CSV files, a plugin of halo."""
