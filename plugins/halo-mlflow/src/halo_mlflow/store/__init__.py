"""The store that runs are tracked in: where it is, what it remembers, what it takes as names."""
