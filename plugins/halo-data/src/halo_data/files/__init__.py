"""Reads rows from files on this machine and from data sets on the hub."""
