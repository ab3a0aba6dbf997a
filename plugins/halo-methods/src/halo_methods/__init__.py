"""Human-aware losses and reference points for halo."""
