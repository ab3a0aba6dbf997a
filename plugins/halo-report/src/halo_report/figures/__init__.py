"""Figures of runs, suites and losses, drawn by matplotlib without pyplot."""
