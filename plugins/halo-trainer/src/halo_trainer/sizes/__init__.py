"""Sizes of models on devices, from their configuration alone: memory, speed, and what fits."""
