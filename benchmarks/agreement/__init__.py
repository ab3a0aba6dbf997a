"""What `agreement_with_trl.py` compares."""
