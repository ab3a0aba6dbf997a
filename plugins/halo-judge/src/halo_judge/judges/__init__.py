"""The judges: each takes comparisons or completions, and none knows of a stage."""
