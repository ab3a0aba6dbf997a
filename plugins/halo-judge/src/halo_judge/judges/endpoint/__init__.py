"""What the judges behind an endpoint share: keys, pace, a cap on the cost, and kept replies."""
