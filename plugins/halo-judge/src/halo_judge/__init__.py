"""Judges for halo, and the stage that compares completions in both orders."""
