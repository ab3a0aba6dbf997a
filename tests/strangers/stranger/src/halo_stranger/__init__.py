"""A hinge loss on pairs, and pairs that teach good manners."""
