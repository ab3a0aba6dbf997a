"""Feedback for halo: HH, JSONL, the hub, conversions, and the toy world with its oracle."""
