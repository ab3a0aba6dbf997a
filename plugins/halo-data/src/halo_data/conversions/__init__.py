"""Data components that convert the rows of other sources to another form."""
