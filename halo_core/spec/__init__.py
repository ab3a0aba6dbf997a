"""Specs, from YAML to components: reads, overrides, resolves and checks them."""
