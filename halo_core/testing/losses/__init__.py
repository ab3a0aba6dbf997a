"""The rules for losses, and for losses around losses."""
