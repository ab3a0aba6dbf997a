"""How a model computes log-probabilities of packed rows, with the heads and adapters beside it."""
