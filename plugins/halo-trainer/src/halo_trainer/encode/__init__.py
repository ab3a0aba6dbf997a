"""Rows to examples of token ids, once, and kept; samples of the reference beside them."""
