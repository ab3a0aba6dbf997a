"""The command `halo ui` and its server."""
