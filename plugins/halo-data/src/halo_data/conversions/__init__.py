"""Data components that take other sources and give their rows in another form."""
