"""The stages train and sample of halo: packed, exact and resumable training on accelerate."""
