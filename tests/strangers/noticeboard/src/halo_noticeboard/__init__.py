"""A tracker that writes a note about each run to a notice board."""
