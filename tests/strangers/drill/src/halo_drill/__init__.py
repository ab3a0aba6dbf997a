"""A stage that trains one completion after the other."""
