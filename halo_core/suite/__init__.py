"""A suite: its plan over all cells, and the ways to run it."""
