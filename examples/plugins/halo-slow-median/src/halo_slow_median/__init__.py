"""A reference point that follows the median slowly, a plugin of halo."""
