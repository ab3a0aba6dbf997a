"""The stage `judge`: compares completions in both orders, and computes how often they win."""
