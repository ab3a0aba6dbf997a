"""From examples to what is computed at a time: global batches, micro-batches, packed rows."""
