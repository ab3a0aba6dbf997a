"""Figures of runs, suites and losses, drawn with matplotlib without pyplot."""
