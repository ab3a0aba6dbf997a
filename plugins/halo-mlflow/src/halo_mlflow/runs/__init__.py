"""A run, or a suite, of halo as runs of MLflow."""
