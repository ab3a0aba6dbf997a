"""Shows runs and suites of halo as MLflow runs."""
