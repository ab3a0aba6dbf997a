"""What a workspace contains: its runs, their states, sizes and differences. Changes only titles."""
