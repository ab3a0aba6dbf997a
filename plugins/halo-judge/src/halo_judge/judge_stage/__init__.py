"""The stage `judge`: compares completions, in both orders, and says how often they win."""
