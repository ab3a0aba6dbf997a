"""The machines of a run: how others join it, and their part in a stage."""
