"""The command `halo ui`, and the server behind it."""
