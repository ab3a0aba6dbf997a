"""The store that runs are tracked in: its place, its state and the names it accepts."""
