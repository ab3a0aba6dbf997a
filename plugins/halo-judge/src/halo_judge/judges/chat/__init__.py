"""The judge `gpt-4`: a chat model behind an OpenAI-compatible endpoint."""
