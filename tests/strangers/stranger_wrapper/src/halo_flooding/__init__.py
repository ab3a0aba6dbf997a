"""A wrapper that keeps any other loss from falling below a minimum."""
