"""Guarded calls of plugins' methods. An error in a call names the plugin and its own line."""
