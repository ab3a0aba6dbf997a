"""The judges. Each takes comparisons or completions, and none depends on a stage."""
