"""The stage `scratch`: a small new model with a tokenizer of its own."""
