"""Figures, pages and comparisons of runs and suites for halo."""
