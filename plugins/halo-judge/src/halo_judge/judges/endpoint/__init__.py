"""Shared code of judges that ask an endpoint: keys, pace, cost limits and kept replies."""
