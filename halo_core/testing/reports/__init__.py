"""The rules for reports, and for the pages that they write."""
