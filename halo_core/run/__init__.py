"""A run: its plan, its rows, each stage from its folder alone, and what is told of it."""
