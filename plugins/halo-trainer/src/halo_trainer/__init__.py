"""halo's stages train, sample and scratch: packed, exact and resumable training on accelerate."""
