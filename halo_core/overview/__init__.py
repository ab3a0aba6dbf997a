"""The content of a workspace: its runs, their states, sizes, titles and differences."""
