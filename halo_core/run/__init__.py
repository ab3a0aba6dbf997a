"""A run: its plan, its rows, its stages (each run from its folder alone), and its status."""
