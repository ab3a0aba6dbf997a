"""Calls of plugins' methods, each within a guard that blames the plugin at its own line."""
