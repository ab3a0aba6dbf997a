"""The rules for stages, and what they write."""
