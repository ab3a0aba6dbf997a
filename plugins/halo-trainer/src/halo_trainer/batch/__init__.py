"""From examples to computations: global batches, micro-batches, packed rows."""
