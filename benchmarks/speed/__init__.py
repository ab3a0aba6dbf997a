"""The measurements of `speed_against_trl.py`."""
