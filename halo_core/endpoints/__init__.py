"""The parts that clients of endpoints share: a time limit for whole requests, and sent headers."""
