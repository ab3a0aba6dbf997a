"""Shared code of judges behind an endpoint: keys, pace, cost limits and kept replies."""
