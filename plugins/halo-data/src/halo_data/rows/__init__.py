"""The content of rows: their forms, messages and pairs, and reasons to drop them."""
