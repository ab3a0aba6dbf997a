"""The effects of options, and the values that a component refuses."""
