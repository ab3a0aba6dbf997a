"""The rules for judges, and the comparisons that they are given."""
