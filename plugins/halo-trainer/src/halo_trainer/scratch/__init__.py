"""The stage `scratch`: a small new model with its own tokenizer."""
