"""The checkpoints of a training: their files, when they are written, and which are kept."""
