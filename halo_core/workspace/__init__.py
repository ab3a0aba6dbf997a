"""The workspace on disk: where things lie, what its files hold, and how they are read."""
