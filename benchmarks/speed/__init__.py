"""What `speed_against_trl.py` measures."""
