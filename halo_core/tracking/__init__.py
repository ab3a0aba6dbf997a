"""Carries the events of runs and suites to trackers, from outside the training loop."""
