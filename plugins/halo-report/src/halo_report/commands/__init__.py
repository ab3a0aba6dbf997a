"""The commands of halo-report; what they print for people and as JSON."""
