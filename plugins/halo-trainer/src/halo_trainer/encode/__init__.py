"""Converts rows to examples of token ids once and caches them; adds samples of the reference."""
