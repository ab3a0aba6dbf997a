"""Where feedback comes from: one file for each data source."""
