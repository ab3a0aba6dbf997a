"""The stage `train`: from examples to weights."""
