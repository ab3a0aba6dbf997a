"""Exact preference optimisation, a plugin of halo."""
