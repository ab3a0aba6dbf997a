"""A suite: the plan of all its cells, and the ways to run them."""
