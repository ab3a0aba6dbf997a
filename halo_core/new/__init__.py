"""`halo new`: writes the package of a plugin that already works."""
