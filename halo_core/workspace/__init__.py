"""The workspace on disk: its layout, its files, and how they are read."""
