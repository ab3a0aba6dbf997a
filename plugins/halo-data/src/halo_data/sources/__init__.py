"""The data sources, one file for each."""
