"""Removes runs and what no run needs. Everything moves to the trash of the workspace first."""
