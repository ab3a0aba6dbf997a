"""The median of the batch's log-ratios as a reference point."""
