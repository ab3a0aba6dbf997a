"""A tracker that pins a note about each run to a board."""
