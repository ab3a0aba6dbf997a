"""The rules for data sources and conversions, and the rows that they are given."""
