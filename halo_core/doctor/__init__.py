"""The findings of `halo doctor` about this machine and about a spec on it."""
