"""The comparisons of `agreement_with_trl.py`."""
