"""Parts of `real_feedback.py`: rows, a second trainer, and scores of held-out pairs."""
