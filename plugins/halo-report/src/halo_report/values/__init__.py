"""The value functions that losses declare, and which qualities of a human one they have."""
