"""The parts that clients of endpoints share: time limits, sent headers and proxies."""
