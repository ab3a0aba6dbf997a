"""The pages of a run, of suites and runs, and of a file of counts."""
