"""The rules for commands, and the calls of their bodies."""
