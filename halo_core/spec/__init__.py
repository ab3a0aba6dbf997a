"""A spec, from YAML to components: read, overridden, resolved and checked."""
