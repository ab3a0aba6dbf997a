"""The MLflow tracker of halo, and halo ui."""
