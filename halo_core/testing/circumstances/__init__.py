"""The results of a component in another process, and with other values of its options."""
