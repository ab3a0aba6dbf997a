"""The commands `halo judge` and `halo label`: judging without a run."""
