"""Sends the events of runs and suites to trackers, outside of the training loop."""
