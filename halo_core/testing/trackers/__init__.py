"""The rules for trackers."""
