"""Statistics, figures and run pages for halo."""
