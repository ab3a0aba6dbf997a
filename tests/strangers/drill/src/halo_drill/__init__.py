"""A stage that trains on one completion at a time."""
