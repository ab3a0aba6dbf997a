"""The stage `sample`: a model's answers to prompts."""
