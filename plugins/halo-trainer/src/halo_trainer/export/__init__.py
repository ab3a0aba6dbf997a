"""`halo export`: a model of a run as a folder to share, with a model card."""
