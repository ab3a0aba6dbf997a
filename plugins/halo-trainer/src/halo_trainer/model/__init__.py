"""Log-probabilities of packed rows from a model, with heads and adapters."""
