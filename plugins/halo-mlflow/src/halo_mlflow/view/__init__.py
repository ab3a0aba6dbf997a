"""The saved view "halo" of an experiment: the first screen that MLflow shows of its runs."""
