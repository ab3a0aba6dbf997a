"""`halo runs`: lists, shows, compares, names and removes the runs of a workspace."""
