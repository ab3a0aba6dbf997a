"""The value functions that losses declare, and the human qualities of these functions."""
