"""Reads the user's files: outputs of models, and labelled comparisons."""
