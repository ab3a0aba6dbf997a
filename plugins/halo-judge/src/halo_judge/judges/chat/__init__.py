"""The judge `gpt-4`: a chat model of an OpenAI-compatible endpoint."""
