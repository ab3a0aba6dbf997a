"""What a row holds: its form, its messages, the pair it is, or why it was dropped."""
