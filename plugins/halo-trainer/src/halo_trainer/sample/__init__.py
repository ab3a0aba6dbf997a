"""The stage `sample`: a model's completions of prompts."""
