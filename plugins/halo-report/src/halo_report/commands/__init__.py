"""The commands of halo-report, with their output for people and as JSON."""
