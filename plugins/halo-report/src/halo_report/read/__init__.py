"""Reads runs, suites and files of counts as cells in columns and series."""
