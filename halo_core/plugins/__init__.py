"""Finds the installed plugins and what they register, and knows the catalogue of others."""
