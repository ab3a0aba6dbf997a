"""The rules for reference points and reference updates."""
