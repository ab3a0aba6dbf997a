"""The display of a run for people: one picture on a terminal, lines elsewhere."""
