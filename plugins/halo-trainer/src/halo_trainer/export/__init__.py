"""`halo export`: a model of a run as a folder to hand on, with a model card."""
